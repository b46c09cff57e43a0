import { parentPort, workerData } from 'node:worker_threads'
import { Region } from '@walrus-log/core'
import { receiveAll, sendAll } from './lane-traffic.js'

// One end of a lane, in a thread of its own.
const { role, memory, count, ...rest } = workerData
const traffic = { ...rest, region: new Region(memory) }
if (role === 'send') sendAll(traffic, count)
else parentPort?.postMessage(receiveAll(traffic, count))

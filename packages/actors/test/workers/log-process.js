import { Walrus } from '#actors/index.js'
import { say } from './say.js'

// A process that appends, and then ends in one of the ways in which processes end.
const { directory, mode } = JSON.parse(process.argv[2])
const walrus = await Walrus.open(directory, { durability: 'os' })
const topic = await walrus.topic('t', { codec: 'utf8' })
const producer = topic.producer()
await producer.append('appended')
await say('acknowledged')
if (mode === 'follow') {
  const abort = new AbortController()
  // Nothing but the reader keeps the process alive: this timer does not.
  setTimeout(() => {
    process.send?.('still here')
    abort.abort()
  }, 200).unref()
  try {
    for await (const _batch of topic.read({ follow: true, signal: abort.signal }));
  } catch {
    await say('aborted')
  }
}
process.disconnect()
if (mode === 'close') await walrus.close()
if (mode === 'forget and send') producer.send('sent')
if (mode === 'exit') process.exit(0)

import fs from 'node:fs'
import { Walrus } from '#actors/index.js'

// Consumes a topic in a group with two consumers, and writes down each record as it is handed out, with a call to the
// system: what is written outlives a kill. Tells its parent how far it is.
const { directory, group, checkpoint, file } = JSON.parse(process.argv[2])
const walrus = await Walrus.open(directory)
const topic = await walrus.topic('t')
const descriptor = fs.openSync(file, 'a')
await Promise.all(
  [0, 1].map(async (name) => {
    for await (const { value } of topic.consumer(group, { checkpoint })) {
      fs.writeSync(descriptor, `${name} ${value}\n`)
      process.send?.(value)
    }
  }),
)

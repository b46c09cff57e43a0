import { Walrus } from '#actors/index.js'
import { say } from './say.js'

// Opens the log in the directory and says how that went.
const { directory } = JSON.parse(process.argv[2])
try {
  const walrus = await Walrus.open(directory)
  await walrus.close()
  await say('opened')
} catch (error) {
  const { code, pid } = /** @type {import('#actors/index.js').WalrusError} */ (error)
  await say({ code, pid })
}
process.disconnect()

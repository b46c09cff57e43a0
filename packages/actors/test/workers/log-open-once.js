import { Walrus } from '#actors/index.js'

// Opens the log in the directory and says how that went.
const { directory } = JSON.parse(process.argv[2])
try {
  const walrus = await Walrus.open(directory)
  await walrus.close()
  process.send?.('opened')
} catch (error) {
  const { code, pid } = /** @type {import('#actors/index.js').WalrusError} */ (error)
  process.send?.({ code, pid })
}
process.disconnect()

// Holds the directory of its argument until it is killed or its standard input ends.
import { lockDirectory } from '../../dist/storage/directory-lock.js'

const lock = lockDirectory(process.argv[2])
process.stdout.write('held\n')
process.stdin.on('end', () => {
  lock.release()
  process.stdout.write('released\n')
})
process.stdin.resume()

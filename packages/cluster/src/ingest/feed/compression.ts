/** How files of each kind begin. None of it is UTF-8, so that no text is taken for it. */
const BEGINNINGS: readonly { name: string; bytes: readonly number[]; command: string }[] = [
  { name: 'gzip', bytes: [0x1f, 0x8b], command: 'zcat' },
  { name: 'zstd', bytes: [0x28, 0xb5, 0x2f], command: 'zstdcat' },
  { name: 'xz', bytes: [0xfd, 0x37, 0x7a], command: 'xzcat' },
]

/** What is to be done about a source that is compressed; undefined where it is not, as far as its beginning tells. */
export function compressionProblem(beginning: Uint8Array): string | undefined {
  const found = BEGINNINGS.find(({ bytes }) => bytes.every((byte, at) => beginning[at] === byte))
  return (
    found &&
    `compressed with ${found.name}: unpack it first, as in ${found.command} FILE | walrus ingest - --format json`
  )
}

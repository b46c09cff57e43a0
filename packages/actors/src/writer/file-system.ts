import { type FileSystem, NodeFileSystem, WalrusError } from '@walrus-log/core'

/** The file system that a thread of the log works on: the host's, or what a module of the opener's default-exports. */
export async function loadFileSystem(module: string | undefined): Promise<FileSystem> {
  if (module === undefined) return new NodeFileSystem()
  let cause: unknown
  try {
    const loaded = (await import(module)) as { default?: unknown }
    if (typeof loaded.default === 'function') return (loaded.default as () => FileSystem)()
  } catch (error) {
    cause = error
  }
  throw new WalrusError(
    'INVALID_ARGUMENT',
    `${module} has no default export that makes a FileSystem; export a function`,
    { field: 'fileSystem', cause },
  )
}

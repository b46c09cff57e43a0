import type { Topic, Walrus } from '@walrus-log/actors'
import { WalrusError } from '@walrus-log/core'
import type { CommonOptions } from './context.js'
import { existingLogDirectory } from './log-directory.js'

/**
 * Opens a log that must be there already, for as long as `use` takes. With `readOnly` also one that another process writes:
 * what only looks changes nothing.
 */
export async function withLog<Result>(
  options: CommonOptions,
  use: (walrus: Walrus) => Promise<Result>,
  { readOnly = false }: { readOnly?: boolean } = {},
): Promise<Result> {
  existingLogDirectory(options)
  // Loaded here, so that help and complaints about arguments are there at once.
  const { Walrus } = await import('@walrus-log/actors')
  const walrus = await Walrus.open(options.dir, { namespace: options.namespace, readOnly })
  try {
    return await use(walrus)
  } finally {
    await walrus.close()
  }
}

/** A topic that must be there already: opening one that is not would make it. */
export async function existingTopic(walrus: Walrus, name: string): Promise<Topic> {
  const names = (await walrus.topics()).map((topic) => topic.name)
  if (names.includes(name)) return walrus.topic(name)
  const known = names.length > 0 ? `there are: ${names.join(', ')}` : 'there are none yet'
  throw new WalrusError('UNKNOWN_TOPIC', `there is no topic ${JSON.stringify(name)}; ${known}`)
}

import { expect, test } from 'vitest'
import { ConsumerSession, type SessionOptions } from '#actors/group/consumer-session.js'
import type { Release, Share } from '#actors/group/messages.js'

/** A session whose host says what it is told to, and notes what is given back. */
function sessionWith(shares: Share[]): { session: ConsumerSession<string>; releases: Release[] } {
  const releases: Release[] = []
  const control = {
    joinGroup: async () => 1,
    groupShare: async () => shares,
    releasePartitions: async (_membership: unknown, released: Release[]) => void releases.push(...released),
    leaveGroup: async () => {},
  }
  const options = {
    client: { client: 0, control },
    groups: {
      life: 1,
      ended: async () => {},
      link: async () => {},
      writer: async () => ({ write: async () => {} }),
      listen: () => {},
      unlisten: () => {},
    },
    topic: { config: { name: 't', createdMs: 1, codec: 'utf8' }, partitions: [] },
    group: 'g',
    checkpoint: 'each',
    from: 'start',
    fs: undefined,
    fileSystem: undefined,
    requireReadable: () => {},
  }
  return { session: new ConsumerSession<string>(options as unknown as SessionOptions), releases }
}

test('a partition that was given and is wanted back before anybody looked is given back', async () => {
  const { session, releases } = sessionWith([{ partition: 2, generation: 5, offset: 9, isRevoked: true }])
  await session.enter({ notice: () => {}, end: async () => {} })
  expect(releases).toEqual([{ partition: 2, generation: 5 }])
  expect(session.places).toEqual([])
  expect(session.isNoticed).toBe(false)
})

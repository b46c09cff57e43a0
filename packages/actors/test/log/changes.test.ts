import { expect, test } from 'vitest'
import { Changes } from '#actors/log/changes.js'
import type { OpenProducerRequest } from '#actors/log/log-client.js'
import { ProducerOpenings } from '#actors/log/producer-openings.js'

/** An action that ends when it is told to, and says when it has begun. */
function step(log: string[], name: string) {
  let end = (): void => {}
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  const action = async (): Promise<string> => {
    log.push(`begin ${name}`)
    await ended
    log.push(`end ${name}`)
    return name
  }
  return { action, end }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('changes of one topic run one after the other, those of two at once', async () => {
  const changes = new Changes()
  const log: string[] = []
  const [first, second, other] = ['a1', 'a2', 'b'].map((name) => step(log, name))
  const results = [changes.run('a', first.action), changes.run('a', second.action), changes.run('b', other.action)]
  await turn()
  expect(log).toEqual(['begin a1', 'begin b'])
  second.end()
  other.end()
  await turn()
  expect(log).toEqual(['begin a1', 'begin b', 'end b'])
  first.end()
  await changes.settled()
  expect(log.slice(3)).toEqual(['end a1', 'begin a2', 'end a2'])
  expect(await Promise.all(results)).toEqual(['a1', 'a2', 'b'])
})

test('a change that fails tells its caller only, and what waits behind it runs', async () => {
  const changes = new Changes()
  const failed = changes.run('a', () => Promise.reject(new Error('no')))
  const next = changes.run('a', async () => 1)
  await expect(failed).rejects.toThrow('no')
  expect(await next).toBe(1)
  await changes.settled()
})

test('a thousand topics are changed some at a time, and all of them', async () => {
  const changes = new Changes()
  let running = 0
  let most = 0
  const all = Array.from({ length: 1000 }, (_, index) =>
    changes.run(`t${index}`, async () => {
      most = Math.max(most, ++running)
      await turn()
      running--
      return index
    }),
  )
  expect(await Promise.all(all)).toEqual(all.map((_, index) => index))
  expect(most).toBeGreaterThan(1)
  expect(most).toBeLessThanOrEqual(16)
})

const requestOf = (name: string): OpenProducerRequest => ({ topic: 't', slot: 0, name, partition: null })

test('names that are asked for while their topic is busy are opened together, each with an answer of its own', async () => {
  const changes = new Changes()
  const log: string[] = []
  const busy = step(log, 'busy')
  void changes.run('t', busy.action)
  const opened: string[][] = []
  const openings = new ProducerOpenings(
    (topic, action) => changes.run(topic, action),
    async (_, requests) => {
      opened.push(requests.map(({ name }) => name))
      return requests.map(({ name }, index) =>
        name === 'bad' ? new Error('refused') : { id: index, epoch: 1, lastSequences: [] },
      )
    },
  )
  const answers = Promise.allSettled(['a', 'bad', 'c'].map((name) => openings.open(requestOf(name))))
  busy.end()
  expect((await answers).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
  expect(await openings.open(requestOf('d'))).toMatchObject({ id: 0 })
  expect(opened).toEqual([['a', 'bad', 'c'], ['d']])
})

test('where no change is taken any more, all that wait are told', async () => {
  const openings = new ProducerOpenings(
    () => Promise.reject(new Error('closed')),
    async () => [],
  )
  const answers = await Promise.allSettled([openings.open(requestOf('a')), openings.open(requestOf('b'))])
  expect(answers.map((answer) => (answer as PromiseRejectedResult).reason.message)).toEqual(['closed', 'closed'])
})

import { expect, test } from 'vitest'
import { openLog, randomOf, readAll, runProcess, temporaryDirectory } from './fixture.js'

interface Report {
  acknowledged: [value: string, partition: number, offset: number][]
  told: string[]
  resources: string[]
}

/** What a call may be told as the log closes, or its topic is deleted, under it. */
const CODES = ['CLOSED', 'UNKNOWN_TOPIC', 'MAILBOX_FULL', 'CONSUMER_FENCED', 'PRODUCER_FENCED', 'OUT_OF_SEQUENCE']

test('close amid producers, consumers, followers, trims and deletions, in several threads, settles every call, keeps what was acknowledged, and lets the process end', async () => {
  const random = randomOf('close amid')
  for (let round = 0; round < 4; round++) {
    const directory = temporaryDirectory()
    const seed = Math.floor(random() * 2 ** 31)
    const { messages, code } = await runProcess<Report>('close-amid', { directory, seed })
    expect([seed, code]).toEqual([seed, 0])
    const [{ acknowledged, told }] = messages
    expect([seed, told.filter((code) => !CODES.includes(code))]).toEqual([seed, []])
    const walrus = await openLog(directory)
    const names = (await walrus.topics()).map(({ name }) => name)
    const records = names.includes('kept') ? await readAll(await walrus.topic<string>('kept')) : []
    const there = new Map(records.map(({ partition, offset, value }) => [`${partition}/${offset}`, value.slice(0, 12)]))
    for (const [value, partition, offset] of acknowledged) expect(there.get(`${partition}/${offset}`)).toBe(value)
    await walrus.close()
  }
})

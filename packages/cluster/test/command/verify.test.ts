import fs from 'node:fs'
import path from 'node:path'
import { Walrus } from '@walrus-log/actors'
import { describe, expect, it } from 'vitest'
import { temporaryDirectory } from '../support/temporary.js'
import { walrus } from '../support/walrus-command.js'

const FIRST = `${'0'.repeat(20)}.log`

/** A log of two topics; the third of the first one's five records is damaged. */
async function damagedLog(): Promise<{ dir: string; file: string }> {
  const dir = path.join(temporaryDirectory(), 'data')
  const log = await Walrus.open(dir)
  for (const name of ['one', 'two']) {
    const producer = (await log.topic(name, { codec: 'utf8' })).producer()
    for (let n = 0; n < 5; n++) await producer.append(`value ${n}`, { key: 'k' })
  }
  await log.close()
  const file = path.join(dir, 'default/one/0', FIRST)
  const bytes = fs.readFileSync(file)
  bytes[bytes.indexOf('value 2')] ^= 4
  fs.writeFileSync(file, bytes)
  return { dir, file }
}

const jsonLines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('walrus verify', () => {
  it('says what is damaged, exits 1, and repairs as told; readers are shown the gap', async () => {
    const { dir, file } = await damagedLog()
    const sound = await walrus(['verify', 'two', '--dir', dir])
    expect(sound).toMatchObject({ code: 0, stderr: '' })
    expect(sound.stdout).toMatch(/^sound {3}two: 5 records in 5 batches, 1 segments/)
    const damaged = await walrus(['verify', '--dir', dir])
    expect(damaged.code).toBe(1)
    expect(damaged.stdout).toContain(`damage  ${file}, bytes `)
    expect(damaged.stdout).toMatch(/offsets 2 to 2; .*--repair skip[\s\S]*DAMAGE {2}one: 4 records/)
    const repaired = await walrus(['verify', '--dir', dir, '--repair', 'skip', '--json'])
    expect(repaired.code).toBe(1)
    expect(JSON.parse(repaired.stdout)).toMatchObject({
      dir,
      topics: 2,
      damage: [{ kind: 'batches', topic: 'one', partition: 0, file, offset: 2, offsetTo: 3 }],
      remaining: [],
    })
    const again = await walrus(['verify', '--dir', dir, '--json'])
    expect(again.code).toBe(0)
    expect(JSON.parse(again.stdout).gaps).toEqual([{ topic: 'one', partition: 0, from: 2, to: 3 }])
    const read = await walrus(['read', 'one', '--dir', dir, '--json'])
    expect(jsonLines(read.stdout).map(({ offset, gap }) => gap ?? offset)).toEqual([0, 1, 'data-loss', 3, 4])
    expect((await walrus(['read', 'one', '--dir', dir, '--values'])).stderr).toMatch(/records 2 to 2 are not there/)
  })

  it('looks beside a process that writes, at what is acknowledged, and refuses to mend there', async () => {
    const { dir } = await damagedLog()
    const log = await Walrus.open(dir)
    const producer = (await log.topic('three', { codec: 'utf8', segmentBytes: 4096, durability: 'os' })).producer()
    let isWriting = true
    const writing = (async () => {
      while (isWriting) await producer.append('x'.repeat(500))
    })()
    try {
      const beside = await walrus(['verify', 'two', 'three', '--dir', dir])
      expect(beside).toMatchObject({ code: 0, stderr: '' })
      expect(beside.stdout).toMatch(/^sound {3}two: 5 records.*\nsound {3}three/)
      expect((await walrus(['verify', 'one', '--dir', dir])).code).toBe(1)
      const locked = await walrus(['verify', '--repair', 'cut', '--dir', dir])
      expect(locked.code).toBe(1)
      expect(locked.stderr).toMatch(new RegExp(`^LOCKED: .*\\b${process.pid}\\b`))
      const dumped = await walrus(['dump', path.join(dir, 'default/two/0', FIRST), '--json'])
      expect(dumped.code).toBe(0)
    } finally {
      isWriting = false
      await writing
      await log.close()
    }
  })

  it('refuses what is not there', async () => {
    const { dir } = await damagedLog()
    expect((await walrus(['verify', 'nope', '--dir', dir])).code).toBe(2)
    expect((await walrus(['verify', '--dir', path.join(dir, 'nowhere')])).code).toBe(2)
    expect((await walrus(['verify', '--repair', 'all', '--dir', dir])).code).toBe(2)
  })
})

describe('walrus dump', () => {
  it('shows batches and records to a person and to a program, and goes on behind damage', async () => {
    const { file } = await damagedLog()
    const text = await walrus(['dump', file])
    expect(text.code).toBe(1)
    expect(text.stdout).toMatch(/^segment 0x[\s\S]*byte 64: offsets 0 to 0[\s\S]*k {2}value 1\n/)
    expect(text.stdout).toMatch(
      /\nDAMAGE at bytes \d+ to \d+: offsets 2 to 2 \(bad-checksum\)\n[\s\S]*value 3[\s\S]*\nend /,
    )
    const items = jsonLines((await walrus(['dump', file, '--json'])).stdout)
    expect(items.filter(({ type }) => type === 'record').map(({ value }) => value)).toEqual(
      [0, 1, 3, 4].map((n) => `value ${n}`),
    )
    const limited = jsonLines((await walrus(['dump', file, '--json', '--limit', '1'])).stdout)
    expect(limited.map(({ type }) => type)).toEqual(['segment', 'batch', 'record'])
    const batches = jsonLines((await walrus(['dump', file, '--json', '--batches'])).stdout)
    expect(batches.filter(({ type }) => type === 'record')).toEqual([])
    expect((await walrus(['dump', `${file}x`])).code).toBe(2)
  })
})

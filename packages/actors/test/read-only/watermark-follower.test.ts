import fs from 'node:fs'
import path from 'node:path'
import {
  encodeWatermark,
  encodeWatermarkKey,
  NodeFileSystem,
  openWatermarks,
  Region,
  WATERMARK_BYTES,
  WATERMARKS_FILE,
  type Watermark,
  watermarkKey,
} from '@walrus-log/core'
import { expect, onTestFinished, test } from 'vitest'
import { WatermarkFollower } from '#actors/read-only/watermark-follower.js'
import { temporaryDirectory } from '../log/fixture.js'

const KEY = watermarkKey('t', 1, 0)
const OPENED = { opening: 7, pid: 1, openedMs: 1 }

const watermark = (offset: number): Watermark => {
  return { offset, baseOffset: 0, position: 64 + offset, offsetFirst: 0, leaseEpoch: 1, opening: 7 }
}

function entry(offset: number): Region {
  const region = Region.allocate(WATERMARK_BYTES)
  encodeWatermarkKey(region, KEY)
  encodeWatermark(region, watermark(offset))
  return region
}

/** Says what a writer would say, at place `place` of the file. */
function say(directory: string, offset: number, place = 1): void {
  const descriptor = fs.openSync(path.join(directory, WATERMARKS_FILE), 'r+')
  fs.writeSync(descriptor, entry(offset).u8, 0, WATERMARK_BYTES, place * WATERMARK_BYTES)
  fs.closeSync(descriptor)
}

function follow(directory: string, watch?: () => never) {
  const heard: number[] = []
  let wake = (): void => {}
  const follower = new WatermarkFollower({ directory, onChanged: () => {}, watch })
  onTestFinished(() => follower.close())
  follower.follow(0, KEY, undefined, ({ offset }) => {
    heard.push(offset)
    wake()
  })
  const hear = async (offset: number): Promise<void> => {
    // Nothing of the follower keeps a process alive.
    const hold = setInterval(() => {}, 1000)
    while (!heard.includes(offset)) await new Promise<void>((resolve) => (wake = resolve))
    clearInterval(hold)
  }
  return { follower, heard, hear }
}

test('what a writer says is heard, with and without a word from the system', async () => {
  const unwatched = (): never => {
    throw new Error('no more watches')
  }
  for (const watch of [undefined, unwatched]) {
    const directory = temporaryDirectory()
    openWatermarks(new NodeFileSystem(), directory, OPENED)
    const { hear, heard } = follow(directory, watch)
    for (const offset of [1, 2, 3]) {
      say(directory, offset)
      await hear(offset)
    }
    expect(heard).toEqual([1, 2, 3])
  }
})

test('the file, the entry, and another file in its place may come later', async () => {
  const directory = path.join(temporaryDirectory(), 'later')
  const { hear } = follow(directory)
  fs.mkdirSync(directory)
  openWatermarks(new NodeFileSystem(), directory, OPENED)
  say(directory, 1, 5)
  await hear(1)
  const file = path.join(directory, WATERMARKS_FILE)
  const copy = fs.readFileSync(file)
  copy.set(entry(2).u8, 5 * WATERMARK_BYTES)
  fs.writeFileSync(`${file}.new`, copy)
  fs.renameSync(`${file}.new`, file)
  await hear(2)
  say(directory, 3, 5)
  await hear(3)
})

test('an entry that is half written is not heard', async () => {
  const directory = temporaryDirectory()
  openWatermarks(new NodeFileSystem(), directory, OPENED)
  const { follower, heard } = follow(directory)
  say(directory, 1)
  await follower.refresh()
  const descriptor = fs.openSync(path.join(directory, WATERMARKS_FILE), 'r+')
  fs.writeSync(descriptor, entry(300).u8, 0, 20, WATERMARK_BYTES)
  await follower.refresh()
  expect(heard).toEqual([1])
  fs.writeSync(descriptor, entry(300).u8, 20, WATERMARK_BYTES - 20, WATERMARK_BYTES + 20)
  fs.closeSync(descriptor)
  await follower.refresh()
  expect(heard).toEqual([1, 300])
})

import { ring, sleepUntilRung } from '#actors/lane/doorbell.js'
import { LaneReader } from '#actors/lane/lane-reader.js'
import { LaneWriter } from '#actors/lane/lane-writer.js'
import { AtomicWords } from '#actors/lane/layout.js'
import { MESSAGE_FRAMING } from '#actors/message/message-lane.js'
import { seededNumbers } from './seeded.js'

/**
 * Entries that both ends of a lane can make from the same seed: length, kind, number, seed, then words that follow from
 * number and place. Nothing that is torn, old or another lane's looks like one.
 *
 * @typedef {object} Traffic
 * @property {Int32Array} words
 * @property {import('@walrus-log/core').Region} region
 * @property {import('#actors/lane/layout.js').LanePlace} place
 * @property {number} seed
 * @property {number} entryBytesMax
 * @property {number} receiverBell
 * @property {number} senderBell
 */

const KIND = 0x5445_5354
/** Each side is slow for a while, then fast, so that the lane is full for a while, then empty. */
const PHASE_ENTRIES = 4096
const SLOW_TURNS = 300

/** @param {number} seed @param {number} number @param {number} at */
const wordOf = (seed, number, at) => (Math.imul(number ^ seed, 0x9e37_79b1) + Math.imul(at, 0x85eb_ca6b)) >>> 0

/** @param {(below: number) => number} random @param {number} bytesMax */
const sizeOf = (random, bytesMax) => 16 + random((bytesMax - 16) / 8 + 1) * 8

/** @param {number} number @param {boolean} isSlow */
function work(number, isSlow) {
  if (!isSlow) return
  for (let turn = 0; turn < SLOW_TURNS; turn++) number = Math.imul(number, 31) + turn
  if (number === 0.5) throw new Error('never, but the loop stays')
}

/** @param {import('@walrus-log/core').Region} region @param {number} at @param {number} bytes @param {number} seed @param {number} number */
export function writeEntry(region, at, bytes, seed, number) {
  const { u32 } = region
  const word = at >>> 2
  u32[word] = bytes
  u32[word + 1] = KIND
  u32[word + 2] = number
  u32[word + 3] = seed
  for (let index = 4; index < bytes >>> 2; index++) u32[word + index] = wordOf(seed, number, index)
}

/** Throws unless this is the entry with that number. @param {import('@walrus-log/core').Region} region @param {number} at @param {number} bytes @param {number} seed @param {number} number */
export function checkEntry(region, at, bytes, seed, number) {
  const { u32 } = region
  const word = at >>> 2
  let isSound =
    u32[word] === bytes && u32[word + 1] === KIND && u32[word + 2] === number >>> 0 && u32[word + 3] === seed
  for (let index = 4; isSound && index < bytes >>> 2; index++)
    isSound = u32[word + index] === wordOf(seed, number, index)
  if (!isSound)
    throw new Error(`entry ${number} of seed ${seed} at ${at} is not what was sent: ${u32.slice(word, word + 4)}`)
}

/** Sends entries from number 0 to `count` - 1; blocks where the lane is full. @param {Traffic} traffic @param {number} count */
export function sendAll({ words, region, place, seed, entryBytesMax, receiverBell, senderBell }, count) {
  const lane = new LaneWriter(region, new AtomicWords(words), place, MESSAGE_FRAMING)
  const random = seededNumbers(seed)
  const bytesMax = Math.min(entryBytesMax, lane.entryBytesMax)
  for (let number = 0, bytes = sizeOf(random, bytesMax); number < count; ) {
    let at = lane.claim(bytes)
    if (at < 0) {
      // With what is left before the ring's end, an entry may need twice its size.
      sleepUntilRung(words, senderBell, () => lane.freeBytes() >= 2 * bytesMax)
      continue
    }
    // As many as there is room for go out together, at most eight.
    const together = 1 + (number & 7)
    for (let sent = 0; sent < together && number < count && at + bytes <= lane.limit; sent++) {
      writeEntry(region, at, bytes, seed, number)
      at += bytes
      work(number, (number & (PHASE_ENTRIES * 2)) !== 0)
      number++
      bytes = sizeOf(random, bytesMax)
    }
    lane.publish(at)
    ring(words, receiverBell)
  }
}

/** Receives and checks `count` entries; blocks where the lane is empty. Returns how often it slept. @param {Traffic} traffic @param {number} count */
export function receiveAll({ words, region, place, seed, entryBytesMax, receiverBell, senderBell }, count) {
  const lane = new LaneReader(region, new AtomicWords(words), place, MESSAGE_FRAMING)
  const random = seededNumbers(seed)
  const bytesMax = Math.min(entryBytesMax, place.ringBytes / 2)
  let sleeps = 0
  for (let number = 0; number < count; ) {
    if (!lane.look()) {
      sleeps++
      sleepUntilRung(words, receiverBell, () => lane.look())
      continue
    }
    for (let at = lane.next(); at >= 0; at = lane.next()) {
      checkEntry(region, at, sizeOf(random, bytesMax), seed, number)
      work(number, (number & PHASE_ENTRIES) !== 0)
      number++
      // Some are given back one by one, others all together.
      if ((number & 31) === 0) release()
    }
    release()
  }
  return sleeps

  function release() {
    lane.release()
    ring(words, senderBell)
  }
}

import { expect, test } from 'vitest'
import {
  LANE_HEAD_AT,
  LANE_MOVING_AT,
  LANE_NEXT_HEAD_AT,
  LANE_NEXT_WRITTEN_AT,
  LANE_WRITTEN_AT,
  laneAt,
} from '#actors/memory/layout.js'
import { finishMove } from '#actors/writer/writer-lane.js'

test('a writer that dies while it gives a lane back has moved both its head and its count, or neither', () => {
  const at = laneAt(3)
  const before = { head: 10, written: 4 }
  const after = { head: 25, written: 7 }
  // The stores of `WriterLane.release`, in order.
  const stores: [number, number][] = [
    [LANE_NEXT_HEAD_AT, after.head],
    [LANE_NEXT_WRITTEN_AT, after.written],
    [LANE_MOVING_AT, 1],
    [LANE_HEAD_AT, after.head],
    [LANE_WRITTEN_AT, after.written],
    [LANE_MOVING_AT, 0],
  ]
  for (let done = 0; done <= stores.length; done++) {
    const words = new Int32Array(new SharedArrayBuffer((at + laneAt(1) - laneAt(0)) * 4 + 4096))
    words[at + LANE_HEAD_AT] = before.head
    words[at + LANE_WRITTEN_AT] = before.written
    for (const [word, value] of stores.slice(0, done)) words[at + word] = value
    finishMove(words, 3)
    const found = { head: words[at + LANE_HEAD_AT], written: words[at + LANE_WRITTEN_AT] }
    expect(found).toEqual(done < 3 ? before : after)
    expect(words[at + LANE_MOVING_AT]).toBe(0)
  }
})

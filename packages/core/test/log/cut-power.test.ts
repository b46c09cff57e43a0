import { describe, expect, it } from 'vitest'
import { cutPartition } from '#core/log/cut-partition.js'
import { segmentFileName } from '#core/segment/segment-name.js'
import { append, appendSynced, openPartition, readValues } from '../support/partition.js'
import { SimulatedDisk } from '../support/simulated-disk.js'

const DIRECTORY = '/disk/topic/0'

/** Says what it is told, in order, and then that nothing more is lost. */
function scripted(...numbers: number[]): () => number {
  return () => numbers.shift() ?? 0.1
}

/** Segment 0 is acknowledged; those behind it are not, of which the last is open. All has reached the platter. */
function segments(disk: SimulatedDisk, ...refused: string[]): { baseOffset: number; position: number; offset: number } {
  const log = openPartition(DIRECTORY, { fs: disk, segmentEntries: 1 })
  appendSynced(log, 'kept')
  const { openBaseOffset: baseOffset, positionWritten: position, offsetNext: offset } = log
  for (const value of refused) append(log, value)
  log.abandon()
  for (const at of refused.keys()) disk.open(`${DIRECTORY}/${segmentFileName(at + 1)}`, 'write').sync()
  disk.syncDirectory(DIRECTORY)
  return { baseOffset, position, offset }
}

function valuesAfter(disk: SimulatedDisk): string[] {
  return readValues(DIRECTORY, openPartition(DIRECTORY, { fs: disk }), disk)
}

describe('what was refused and cut', () => {
  it('stays away though the power goes, also where the sync of its removal failed first and was tried again', () => {
    const disk = new SimulatedDisk()
    const durable = segments(disk, 'refused')
    disk.rates.set('directory sync error', 2)
    expect(() => cutPartition(disk, DIRECTORY, durable, 0)).toThrow(/EIO/)
    disk.rates.clear()
    cutPartition(disk, DIRECTORY, durable, 0)
    // No change of a directory that was not synced has reached the platter.
    disk.losePower(scripted(0.1, 0))
    expect(valuesAfter(disk)).toEqual(['kept'])
  })

  it('leaves no index without its segment, in whatever order a directory takes its changes', () => {
    for (let lost = 0; lost < 2; lost++) {
      const disk = new SimulatedDisk()
      const durable = segments(disk, 'refused', 'refused too')
      // The process dies at every call of the cut, and of the changes that wait one is lost.
      for (let calls = 0; calls < 30; calls++) {
        const again = disk.clone()
        again.callsLeft = calls
        try {
          cutPartition(again, DIRECTORY, durable, 0)
        } catch (error) {
          expect(error).toMatchObject({ code: 'EIO' })
        }
        again.losePower(scripted(0.9, 0, ...(lost === 0 ? [0.9, 0.1] : [0.1, 0.9])))
        expect(valuesAfter(again)[0], `died at call ${calls}, change ${lost} lost`).toBe('kept')
      }
    }
  })
})

import { type Figure, figureOf } from '../figure.js'
import { type Member, runRounds, type Samples } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import { inThread } from '../thread.js'
import type { Case } from './case.js'

const KIB = 1024
const MIB = 1024 * KIB

interface Writes {
  name: string
  chunkBytes: number
  sync: boolean
  bytes: number
}

async function runSegmentFiles(settings: Settings): Promise<Figure[]> {
  const all: Writes[] = [
    { name: 'write', chunkBytes: 256 * KIB, sync: false, bytes: scaled(settings, 256, 4) * MIB },
    { name: 'append-durable', chunkBytes: 4 * KIB, sync: true, bytes: scaled(settings, 1000, 20) * 4 * KIB },
    { name: 'ingest-durable', chunkBytes: MIB, sync: true, bytes: scaled(settings, 128, 4) * MIB },
  ]
  const samples: Samples = await runRounds(
    settings,
    'segment-files',
    all.flatMap((writes) => [memberOf(settings, writes, 'sized'), memberOf(settings, writes, 'recycled')]),
  )
  return all.map(({ name, chunkBytes, sync }) =>
    figureOf({
      name: `segment-files/${name}`,
      unit: 'MB/s',
      against: 'a new file that is given its size by ftruncate',
      values: samples[`${name}, recycled`].map((rate) => rate / 1e6),
      baselines: samples[`${name}, sized`].map((rate) => rate / 1e6),
      note: `a file whose blocks are there already, in writes of ${chunkBytes / KIB} KiB${sync ? ', each with fdatasync' : ''}`,
    }),
  )
}

function memberOf(settings: Settings, writes: Writes, file: 'sized' | 'recycled'): Member {
  const { name, bytes, chunkBytes, sync } = writes
  return {
    name: `${name}, ${file}`,
    warmBytes: bytes,
    run: (directory) => inThread(settings, 'segmentFileWrites', { directory, file, bytes, chunkBytes, sync }),
  }
}

export const segmentFiles: Case = {
  name: 'segment-files',
  about:
    'bare writes to a segment file that is recycled or preallocated with blocks, against a new one as the log makes it',
  run: runSegmentFiles,
}

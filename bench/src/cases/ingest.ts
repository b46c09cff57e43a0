import { atLeast, type Figure, figureOf } from '../figure.js'
import { runRounds } from '../rounds.js'
import { type Settings, scaled } from '../settings.js'
import type { Case } from './case.js'
import { bareWritesMember, ingestMember, megabytes, records, recordWritesMember } from './ingest-members.js'

const MIB = 1024 * 1024
/** The mean record of Walrus' own benchmark. */
const RECORD_BYTES = 727
const SMALL_RECORD_BYTES = 100

const BARE = '1 MiB pwrite'
const EACH = 'a pwrite per record'
const BLOCKING = 'walrus, worker, readySync'
const AWAITING = 'walrus, worker, await ready'
const MAIN = 'walrus, main thread'

async function runOs727(settings: Settings): Promise<Figure[]> {
  const recordBytes = RECORD_BYTES
  const count = scaled(settings, 1_650_000)
  const ingest = { durability: 'os', recordBytes, count } as const
  const samples = await runRounds(settings, 'os-727', [
    bareWritesMember(settings, BARE, { recordBytes, bytes: recordBytes * count, chunkBytes: MIB, sync: false }),
    ingestMember(settings, BLOCKING, { ...ingest, from: 'worker, blocking' }),
    recordWritesMember(settings, EACH, { recordBytes, count: scaled(settings, 400_000), sync: false }),
    ingestMember(settings, AWAITING, { ...ingest, from: 'worker, awaiting' }),
    ingestMember(settings, MAIN, { ...ingest, from: 'main thread' }),
  ])
  const bandwidth = { unit: 'MB/s', against: BARE, baselines: megabytes(samples[BARE]), target: atLeast(0.6) }
  const perRecord = {
    unit: 'records/s',
    against: EACH,
    baselines: records(samples[EACH], recordBytes),
    target: atLeast(3.5),
  }
  return [
    figureOf({ name: 'os-727/bandwidth', ...bandwidth, values: megabytes(samples[BLOCKING]) }),
    figureOf({ name: 'os-727/records', ...perRecord, values: records(samples[BLOCKING], recordBytes) }),
    figureOf({ name: 'os-727/bandwidth-await', ...bandwidth, values: megabytes(samples[AWAITING]) }),
    figureOf({ name: 'os-727/records-await', ...perRecord, values: records(samples[AWAITING], recordBytes) }),
    figureOf({
      name: 'os-727/main-thread',
      unit: 'MB/s',
      against: BLOCKING,
      values: megabytes(samples[MAIN]),
      baselines: megabytes(samples[BLOCKING]),
      target: atLeast(0.85),
    }),
  ]
}

async function runOs100(settings: Settings): Promise<Figure[]> {
  const recordBytes = SMALL_RECORD_BYTES
  const samples = await runRounds(settings, 'os-100', [
    recordWritesMember(settings, EACH, { recordBytes, count: scaled(settings, 1_000_000), sync: false }),
    ingestMember(settings, BLOCKING, {
      durability: 'os',
      recordBytes,
      count: scaled(settings, 10_000_000),
      from: 'worker, blocking',
    }),
  ])
  return [
    figureOf({
      name: 'os-100/records',
      unit: 'records/s',
      against: EACH,
      values: records(samples[BLOCKING], recordBytes),
      baselines: records(samples[EACH], recordBytes),
      target: atLeast(8),
    }),
  ]
}

const SYNC_EACH = 'a pwrite + fdatasync per record'
const SYNC_BARE = '8 MiB pwrite + fdatasync'

async function runDisk727(settings: Settings): Promise<Figure[]> {
  const recordBytes = RECORD_BYTES
  const count = scaled(settings, 1_650_000)
  const samples = await runRounds(settings, 'disk-727', [
    recordWritesMember(settings, SYNC_EACH, { recordBytes, count: scaled(settings, 3_000), sync: true }),
    bareWritesMember(settings, SYNC_BARE, { recordBytes, bytes: recordBytes * count, chunkBytes: 8 * MIB, sync: true }),
    ingestMember(settings, BLOCKING, { durability: 'disk', recordBytes, count, from: 'worker, blocking' }),
  ])
  return [
    figureOf({
      name: 'disk-727/records',
      unit: 'records/s',
      against: SYNC_EACH,
      values: records(samples[BLOCKING], recordBytes),
      baselines: records(samples[SYNC_EACH], recordBytes),
      target: atLeast(250),
    }),
    figureOf({
      name: 'disk-727/bandwidth',
      unit: 'MB/s',
      against: SYNC_BARE,
      values: megabytes(samples[BLOCKING]),
      baselines: megabytes(samples[SYNC_BARE]),
      target: atLeast(1),
    }),
  ]
}

export const os727: Case = {
  name: 'os-727',
  about:
    "one producer, durability 'os', 727-byte records: against bare pwrites; from a worker and from the main thread",
  run: runOs727,
}

export const os100: Case = {
  name: 'os-100',
  about: "one producer in a worker, durability 'os', 100-byte records: against a pwrite per record",
  run: runOs100,
}

export const disk727: Case = {
  name: 'disk-727',
  about: "one producer in a worker, durability 'disk', 727-byte records: against bare pwrites with fdatasync",
  run: runDisk727,
}

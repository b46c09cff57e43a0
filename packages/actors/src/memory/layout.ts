/**
 * The shared control memory of one open log: who may write which word. All threads of the process that take part map the
 * same two SharedArrayBuffers: this one, and the arena that holds lanes. `docs/memory-model.md` is the specification.
 *
 * Offsets below are in 32-bit words. Words that different threads write stand on different pairs of cache lines
 * (`LINE_WORDS`: two lines, for the hardware fetches them in pairs), so that they do not slow each other down.
 */
export const LINE_WORDS = 32

export const WRITERS_MAX = 64
export const CLIENTS_MAX = 128
/** Slots that the partitions of one open log may take in its life: those of deleted topics are not taken again. */
export const PARTITIONS_OPEN_MAX = 65_536
export const LANES_MAX = 16_384

// Header: one line. Written by the opener.
export const MEMORY_MAGIC = 0x4d52_4c57
export const HEADER_AT = 0
export const HEADER_MAGIC_AT = 0
/** 0 open, 1 closing (nothing new is taken, everything accepted is settled), 2 closed. */
export const HEADER_STATE_AT = 1
export const STATE_OPEN = 0
export const STATE_CLOSING = 1
export const STATE_CLOSED = 2
/** Incremented by a client that opened its slot; it then rings the host's doorbell. */
export const HEADER_ATTACH_SIGNAL_AT = 2
/** Incremented by a sync thread behind each seal and its acknowledgement; it then rings the host's doorbell. */
export const HEADER_SEALED_SIGNAL_AT = 3
/** Two random words that name the log among those of the process. Written by the opener. */
export const HEADER_TOKEN_AT = 4
/** 1: the log was opened with `readOnly`. Written by the opener, constant. */
export const HEADER_READ_ONLY_AT = 6
/** Number of the host's own client slot. */
export const HOST_CLIENT = 0

// Doorbell: one word, see `lane/doorbell.ts`.
export const DOORBELL_AWAKE = 0
export const DOORBELL_SLEEPING = 1

// A writer's slot: doorbells of the writer and of its sync thread, its lanes' ready bits, its counters.
export const WRITERS_AT = LINE_WORDS
/** Written by: the writer (sleeping), any sender (awake). */
export const WRITER_DOORBELL_AT = 0
/** Written by: the sync thread (sleeping), the writer (awake). */
export const WRITER_SYNC_DOORBELL_AT = LINE_WORDS
/** Incremented by the host behind each control message to the writer; the writer compares it with what it has seen. */
export const WRITER_CONTROL_AT = 2 * LINE_WORDS
/** Incremented by whoever opens a lane to this writer. */
export const WRITER_LANES_CHANGED_AT = 2 * LINE_WORDS + 1
/** 1: the writer died too often and is not started again. Written by the host. */
export const WRITER_FAILED_AT = 2 * LINE_WORDS + 2
/** Incremented by the writer behind each message to the sync thread. */
export const WRITER_SYNC_CONTROL_AT = 3 * LINE_WORDS
/** Doubles, written by the writer thread only (statistics: a reader may see the one before). */
export const WRITER_COUNTERS_AT = 4 * LINE_WORDS
export const COUNTER_RECORDS = 0
export const COUNTER_BYTES = 1
export const COUNTER_BATCHES = 2
export const COUNTER_WRITES = 3
export const COUNTER_SYNCS_OWN = 4
export const COUNTER_PAYLOAD_BYTES = 5
export const COUNTER_BUSY_MS = 6
/** Doubles, written by the sync thread only. */
export const WRITER_SYNC_COUNTERS_AT = 5 * LINE_WORDS
export const COUNTER_SYNCS = 0
/** One bit a lane: set by senders, taken by the writer. */
export const WRITER_READY_AT = 6 * LINE_WORDS
export const READY_WORDS = LANES_MAX / 32
/** One bit for each partition's slot. */
export const SLOT_WORDS = PARTITIONS_OPEN_MAX / 32
/**
 * Counts of acknowledgement latencies, see `latency-histogram.ts`. Added to by whoever holds a partition's sync state,
 * which may be the writer for one partition and the sync thread for another at the same time.
 */
export const WRITER_LATENCIES_AT = WRITER_READY_AT + READY_WORDS
export const LATENCY_WORDS = 1024
/** For each 32 lanes: incremented by whoever opens or closes a lane to this writer among them, before `LANES_CHANGED` is. */
export const WRITER_LANE_GROUPS_AT = WRITER_LATENCIES_AT + LATENCY_WORDS
/** One bit a partition's slot. Set by the sync thread that failed and by the host that wants a segment ended, before the
 *  writer's `CONTROL` moves; taken by the writer. */
export const WRITER_ATTENTION_AT = WRITER_LANE_GROUPS_AT + READY_WORDS
/** The same, set by the writer behind `SYNC_WANTED` and `SYNC_SCHEDULED`, taken by its sync thread. */
export const WRITER_SYNC_READY_AT = WRITER_ATTENTION_AT + SLOT_WORDS
export const WRITER_WORDS = WRITER_SYNC_READY_AT + SLOT_WORDS

// A client's slot: a client is one thread's end of the log.
export const CLIENTS_AT = WRITERS_AT + WRITERS_MAX * WRITER_WORDS
export const CLIENT_STATE_AT = 0
export const CLIENT_FREE = 0
export const CLIENT_CLAIMED = 1
export const CLIENT_OPEN = 2
/** Arena position and size of the control lanes' rings, one behind the other. Written by the client. */
export const CLIENT_RINGS_AT = 1
export const CLIENT_RING_BYTES_AT = 2
/** Incremented with each life of the slot. */
export const CLIENT_LIFE_AT = 3
/** The lane, plus one, that the client's thread is blocked for; 0: it may wait for anything. Written by the client. */
export const CLIENT_BLOCKED_FOR_AT = 4
/** Written by: the client (sleeping), writers, sync threads and the host (awake). */
export const CLIENT_DOORBELL_AT = LINE_WORDS
/** The lane to the host: tail by the client, head by the host. And the lane back. */
export const CLIENT_TO_HOST_TAIL_AT = 2 * LINE_WORDS
export const CLIENT_TO_HOST_HEAD_AT = 3 * LINE_WORDS
export const CLIENT_FROM_HOST_TAIL_AT = 4 * LINE_WORDS
export const CLIENT_FROM_HOST_HEAD_AT = 5 * LINE_WORDS
export const CLIENT_WORDS = 6 * LINE_WORDS

// A partition's slot. 64-bit words stand at even word offsets.
export const PARTITIONS_AT = CLIENTS_AT + CLIENTS_MAX * CLIENT_WORDS
/** See `SYNC_*`: who may sync and acknowledge. Changed by compare-and-exchange. */
export const PARTITION_SYNC_STATE_AT = 0
export const SYNC_IDLE = 0
/** The sync thread, or the writer for itself, has the partition's acknowledgements in hand. */
export const SYNC_HELD = 1
/** The sync thread failed and left the partition to the writer, with the error in the two words below. */
export const SYNC_FAILED = 2
export const PARTITION_SYNC_ERROR_AT = 1
/** 1: a sync is wanted as soon as the sync thread gets to it. Set by the writer, taken by the sync thread. */
export const PARTITION_SYNC_WANTED_AT = 2
/** 1: a write or sync failed, and the files may still hold what was refused for it. Set by whoever holds the sync state,
 *  before anything else is done about the failure; taken back by the writer when the files are cut. */
export const PARTITION_CUT_WANTED_AT = 3
/** 1: the sync thread works on the partition's files without the sync state (a scheduled sync, a late seal). Set by it
 *  before it looks at `PARTITION_CUT_WANTED_AT`; the writer, which sets that first, waits until this is 0 to cut. */
export const PARTITION_SYNC_BUSY_AT = 4
/** 1: the open segment is old enough to be ended. Set by the host, taken by the writer. */
export const PARTITION_ROLL_WANTED_AT = 5
/** 1: with `everyMs`, something was written that the next scheduled sync is for. Set by the writer behind the written
 *  point, taken back by the sync thread before it reads that. */
export const PARTITION_SYNC_SCHEDULED_AT = 6
/** 1: the first offset has moved, which other processes are to be told. Set by the host, taken by the writer,
 *  which the sync thread calls where it finds it set as it lets the partition go. */
export const PARTITION_PUBLISH_WANTED_AT = 7
/** Which of the two copies of the written point is valid. Written by the writer. */
export const PARTITION_WRITTEN_SELECT_AT = LINE_WORDS
/** Two copies of (segment base, byte position, offset), each 64 bits: all bytes before that point are written. */
export const PARTITION_WRITTEN_AT = LINE_WORDS + 2
export const POINT_WORDS = 6
/** The acknowledged point, in the same form. Written by the holder of the sync state. */
export const PARTITION_DURABLE_SELECT_AT = 2 * LINE_WORDS
export const PARTITION_DURABLE_AT = 2 * LINE_WORDS + 2
/** Incremented whenever the high watermark (the acknowledged point's offset) moved, or the log closes. */
export const PARTITION_SIGNAL_AT = 3 * LINE_WORDS
/** How many wait on the signal: nobody is notified while it is zero. */
export const PARTITION_WAITERS_AT = 3 * LINE_WORDS + 1
/** First offset that exists, 64 bits. Written by the writer as it opens the partition, then moved on by the host. */
export const PARTITION_FIRST_OFFSET_AT = 3 * LINE_WORDS + 2
/** How many full segments the sync thread has sealed. Written by the sync thread. */
export const PARTITION_SEALED_AT = 3 * LINE_WORDS + 4
/** Lease epoch of the partition's writer; a successor's is higher. Written by the writer. */
export const PARTITION_EPOCH_AT = 3 * LINE_WORDS + 5
/** 1: the topic is deleted, whoever reads it is told. Written by the host. */
export const PARTITION_DELETED_AT = 3 * LINE_WORDS + 6
export const PARTITION_WORDS = 4 * LINE_WORDS

// A lane's slot: a lane leads from one producer to one partition's writer.
export const LANES_AT = PARTITIONS_AT + PARTITIONS_OPEN_MAX * PARTITION_WORDS
// First line: written by the lane's owner before it opens the lane, constant while it is open.
export const LANE_STATE_AT = 0
export const LANE_FREE = 0
export const LANE_CLAIMED = 1
export const LANE_OPEN = 2
export const LANE_LIFE_AT = 1
export const LANE_WRITER_AT = 2
export const LANE_PARTITION_AT = 3
export const LANE_CLIENT_AT = 4
export const LANE_RING_AT = 5
export const LANE_RING_BYTES_AT = 6
export const LANE_ACKS_AT = 7
export const LANE_ACKS_COUNT_AT = 8
/** 64 bits, a double. */
export const LANE_PRODUCER_ID_AT = 10
/** Written by the producer: end of what is published, in 8-byte units; and how many batches that is. */
export const LANE_TAIL_AT = LINE_WORDS
export const LANE_PUBLISHED_AT = LINE_WORDS + 1
/** Written by the writer thread: end of what it has taken, and how many batches it has written or refused. */
export const LANE_HEAD_AT = 2 * LINE_WORDS
export const LANE_WRITTEN_AT = 2 * LINE_WORDS + 1
/** What head and written are about to become, and 1 while that is being done: a successor does it again. */
export const LANE_NEXT_HEAD_AT = 2 * LINE_WORDS + 2
export const LANE_NEXT_WRITTEN_AT = 2 * LINE_WORDS + 3
export const LANE_MOVING_AT = 2 * LINE_WORDS + 4
/** Written by the holder of the partition's sync state: how many batches are settled (acknowledged or refused). */
export const LANE_SETTLED_AT = 3 * LINE_WORDS
export const LANE_WORDS = 4 * LINE_WORDS

// Which chunks of the arena are taken: a bit a chunk. Written by compare-and-exchange.
export const ARENA_CHUNK_BYTES = 64 * 1024
export const ARENA_CHUNKS_MAX = 16_384
export const ARENA_BITS_AT = LANES_AT + LANES_MAX * LANE_WORDS

/** One bit a partition's slot: it has a new seal. Set by sync threads before `SEALED_SIGNAL` moves, taken by the host. */
export const SEALED_BITS_AT = ARENA_BITS_AT + ARENA_CHUNKS_MAX / 32

export const CONTROL_WORDS = SEALED_BITS_AT + SLOT_WORDS

export const writerAt = (writer: number): number => WRITERS_AT + writer * WRITER_WORDS
export const clientAt = (client: number): number => CLIENTS_AT + client * CLIENT_WORDS
export const partitionAt = (slot: number): number => PARTITIONS_AT + slot * PARTITION_WORDS
export const laneAt = (lane: number): number => LANES_AT + lane * LANE_WORDS

// An acknowledgement slot of a lane, two doubles in the arena, one for each batch in flight.
/** The batch's base offset once the writer has staged it; negative: it was refused, see `writer/outcome.ts`. */
export const ACK_OFFSET_AT = 0
/** When the producer published it, in milliseconds of the shared clock. */
export const ACK_PUBLISHED_MS_AT = 1
export const ACK_NUMBERS = 2

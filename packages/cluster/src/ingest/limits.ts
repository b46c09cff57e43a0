/** Threads that parse and send: more than any host has cores for are a mistake. */
export const PRODUCERS_MAX = 64

/** Between two syncs: an hour. */
export const EVERY_MS_MAX = 3_600_000

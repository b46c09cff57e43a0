// The package has no types of its own; this is the part of it that Walrus calls.
declare module 'fs-native-extensions' {
  /** False when another open file description holds the lock. A length of 0 means to the end of the file. */
  export function tryLock(descriptor: number, offset?: number, length?: number, options?: { shared?: boolean }): boolean
  export function unlock(descriptor: number, offset?: number, length?: number): void
}

/**
 * When which partition is to be looked at: the earliest first, whatever their number. Pure; times are of the caller's
 * clock. A slot that is due earlier than it was said before is said again; the later entry then finds nothing to do.
 */
export class DueQueue {
  /** A binary heap: `#dues[i] <= #dues[2 * i + 1]` and `<= #dues[2 * i + 2]`; a slot stands at its due's place. */
  readonly #dues: number[] = []
  readonly #slots: number[] = []
  /** The earliest due that is queued for a slot. */
  readonly #earliest = new Map<number, number>()

  /** When something is due next; infinite where nothing is. */
  get nextMs(): number {
    return this.#dues.length === 0 ? Number.POSITIVE_INFINITY : this.#dues[0]
  }

  add(slot: number, dueMs: number): void {
    if (dueMs >= (this.#earliest.get(slot) ?? Number.POSITIVE_INFINITY)) return
    this.#earliest.set(slot, dueMs)
    let at = this.#dues.length
    for (; at > 0; ) {
      const parent = (at - 1) >>> 1
      if (this.#dues[parent] <= dueMs) break
      this.#put(at, parent)
      at = parent
    }
    this.#dues[at] = dueMs
    this.#slots[at] = slot
  }

  /** Takes the slot that is due first, if it is due by now. */
  take(nowMs: number): number | undefined {
    while (this.#dues.length > 0 && this.#dues[0] <= nowMs) {
      const dueMs = this.#dues[0]
      const slot = this.#slots[0]
      this.#removeFirst()
      if (this.#earliest.get(slot) !== dueMs) continue
      this.#earliest.delete(slot)
      return slot
    }
    return undefined
  }

  #removeFirst(): void {
    const dueMs = this.#dues.pop()!
    const slot = this.#slots.pop()!
    const count = this.#dues.length
    if (count === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= count) break
      if (child + 1 < count && this.#dues[child + 1] < this.#dues[child]) child++
      if (this.#dues[child] >= dueMs) break
      this.#put(at, child)
      at = child
    }
    this.#dues[at] = dueMs
    this.#slots[at] = slot
  }

  #put(at: number, from: number): void {
    this.#dues[at] = this.#dues[from]
    this.#slots[at] = this.#slots[from]
  }
}

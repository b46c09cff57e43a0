/** A record's key, or why it has none. */
export type KeyResult = { key: string; reason?: undefined } | { key?: undefined; reason: string }

/** Keys are text: a number or a boolean is written as JSON writes it. */
export function keyOf(value: unknown, field: string): KeyResult {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, field)) {
    return { reason: `no field ${JSON.stringify(field)}, which --key names` }
  }
  const key = (value as Record<string, unknown>)[field]
  if (typeof key === 'string') return { key }
  if (typeof key === 'number' || typeof key === 'boolean') return { key: String(key) }
  const kind = key === null ? 'null' : Array.isArray(key) ? 'an array' : 'an object'
  return { reason: `field ${JSON.stringify(field)} is ${kind}; a key is text, a number or a boolean` }
}

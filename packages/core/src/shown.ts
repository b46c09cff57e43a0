import { types } from 'node:util'

const SHOWN_MAX = 80

/** What a caller gave, in a few words for a message. Never throws, and runs none of the caller's code. */
export function shown(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.slice(0, SHOWN_MAX))
    case 'bigint':
      return 'a bigint'
    case 'symbol':
      return 'a symbol'
    case 'function':
      return 'a function'
    case 'object':
      if (value === null) return 'null'
      return types.isProxy(value) ? 'a proxy' : Array.isArray(value) ? 'an array' : 'an object'
    default:
      return String(value)
  }
}

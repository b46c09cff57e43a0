import { WalrusError, type WalrusErrorCode } from '@walrus-log/core'
import type { EncodedError } from '../writer/messages.js'

/** Encodes an error with its code, own fields and causes. */
export function encodeError(error: unknown, depth = 0): EncodedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) }
  const details: Record<string, string | number> = {}
  for (const [name, value] of Object.entries(error)) {
    if (name !== 'code' && (typeof value === 'string' || typeof value === 'number')) details[name] = value
  }
  const code = (error as { code?: unknown }).code
  return {
    name: error.name,
    message: error.message,
    stack: error.stack,
    code: typeof code === 'string' ? code : undefined,
    details,
    cause: error.cause !== undefined && depth < 8 ? encodeError(error.cause, depth + 1) : undefined,
  }
}

export function decodeError(encoded: EncodedError): Error {
  const cause = encoded.cause && decodeError(encoded.cause)
  const error =
    encoded.name === 'WalrusError' ? decodeWalrusError(encoded, cause) : new Error(encoded.message, cause && { cause })
  if (encoded.name !== 'WalrusError') {
    error.name = encoded.name
    if (encoded.code !== undefined) Object.assign(error, { code: encoded.code })
    Object.assign(error, encoded.details)
  }
  if (encoded.stack !== undefined) error.stack = encoded.stack
  return error
}

function decodeWalrusError(encoded: EncodedError, cause: Error | undefined): WalrusError {
  const code = encoded.code as WalrusErrorCode
  const message = encoded.message.startsWith(`${code}: `) ? encoded.message.slice(code.length + 2) : encoded.message
  const { name: _name, message: _message, stack: _stack, ...details } = encoded.details ?? {}
  return new WalrusError(code, message, { ...details, cause })
}

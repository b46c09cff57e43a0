import { isWalrusError, WalrusError, type WalrusErrorCode } from '@walrus-log/core'

/** An error on its way between threads: structured cloning would drop the code, and with it the class. */
export interface ErrorMessage {
  message: string
  code: string | undefined
  isWalrusError: boolean
  stack: string | undefined
}

export function encodeError(error: unknown): ErrorMessage {
  const known: NodeJS.ErrnoException = error instanceof Error ? error : new Error(String(error))
  const { message, code, stack } = known
  return { message, code, isWalrusError: isWalrusError(error), stack }
}

export function decodeError({ message, code, isWalrusError, stack }: ErrorMessage): Error {
  const error = isWalrusError
    ? new WalrusError(code as WalrusErrorCode, message.slice(`${code}: `.length))
    : Object.assign(new Error(message), { code })
  error.stack = stack
  return error
}

import { WalrusError } from '@walrus-log/core'
import { describe, expect, it } from 'vitest'
import { decodeError, encodeError } from '#actors/message/error-codec.js'

const crossed = (error: unknown): Error => decodeError(structuredClone(encodeError(error)))

describe('an error that crosses a thread', () => {
  it('keeps name, message, stack, code, own fields, and the chain of causes', () => {
    const system = Object.assign(new Error('ENOSPC: no space left'), { code: 'ENOSPC', errno: -28, syscall: 'write' })
    const outer = new WalrusError('DISK_FULL', 'the disk is full; free some', {
      cause: system,
      file: 'a.log',
      position: 8192,
    })
    const error = crossed(new TypeError('outermost', { cause: outer }))
    expect([error.name, error.message]).toEqual(['TypeError', 'outermost'])
    const decoded = error.cause as WalrusError
    expect(decoded).toBeInstanceOf(WalrusError)
    expect(decoded).toMatchObject({
      code: 'DISK_FULL',
      message: outer.message,
      stack: outer.stack,
      file: 'a.log',
      position: 8192,
    })
    expect(decoded.cause).toMatchObject({
      message: 'ENOSPC: no space left',
      code: 'ENOSPC',
      errno: -28,
      syscall: 'write',
      stack: system.stack,
    })
  })

  it('is the same after a second crossing', () => {
    const error = new WalrusError('OFFSET_OUT_OF_RANGE', 'offset 9 was asked for; read from 3', {
      first: 3,
      next: 5,
      offset: 9,
    })
    expect(encodeError(crossed(crossed(error)))).toEqual(encodeError(error))
  })

  it('is an error also where something else was thrown', () => {
    expect(crossed('just text')).toMatchObject({ name: 'Error', message: 'just text' })
    expect(crossed(undefined).message).toBe('undefined')
  })

  it('ends where causes go round in a circle', () => {
    const error = new Error('a')
    error.cause = error
    expect(crossed(error).message).toBe('a')
  })
})

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, onTestFinished } from 'vitest'
import { lockDirectory } from '#core/storage/directory-lock.js'
import { isLockHeld, lockHolder } from '#core/storage/lock-holder.js'
import { refusal } from '../support/partition.js'
import { temporaryDirectory } from '../support/temporary.js'

const HOLDER = fileURLToPath(new URL('./lock-holder.mjs', import.meta.url))

/** Another process that holds the directory by now. */
async function holderOf(directory: string): Promise<ChildProcess> {
  const holder = spawn(process.execPath, [HOLDER, directory], { stdio: ['pipe', 'pipe', 'inherit'] })
  onTestFinished(() => {
    holder.kill('SIGKILL')
  })
  expect(String((await once(holder.stdout!, 'data'))[0])).toBe('held\n')
  return holder
}

describe('the lock of a directory', () => {
  it('holds off a second opener in the same process, until it is released', () => {
    const directory = temporaryDirectory()
    const lock = lockDirectory(directory)
    const error = refusal('LOCKED', () => lockDirectory(directory))
    expect(error).toMatchObject({ pid: process.pid })
    expect(error.message).toMatch(/held by this process/)
    // The failed attempt must not have taken the lock away with its own descriptor.
    refusal('LOCKED', () => lockDirectory(directory))
    lock.release()
    lock.release()
    const next = lockDirectory(directory)
    refusal('LOCKED', () => lockDirectory(directory))
    next.release()
  })

  it('is one of that directory only', () => {
    const locks = [lockDirectory(temporaryDirectory()), lockDirectory(temporaryDirectory())]
    for (const lock of locks) lock.release()
  })

  it('of another process holds off this one, and the error names it', async () => {
    const directory = temporaryDirectory()
    const holder = await holderOf(directory)
    const error = refusal('LOCKED', () => lockDirectory(directory))
    expect(error.pid).toBe(holder.pid)
    expect(error.message).toContain(`process ${holder.pid}`)
    holder.stdin!.end()
    expect(String((await once(holder.stdout!, 'data'))[0])).toBe('released\n')
    lockDirectory(directory).release()
  })

  it('is seen from outside without being taken, where the system says so', async () => {
    const directory = temporaryDirectory()
    expect(isLockHeld(directory)).toBe(false)
    const holder = await holderOf(directory)
    const isTold = process.platform === 'linux'
    expect([isLockHeld(directory), lockHolder(directory)]).toEqual(isTold ? [true, holder.pid] : [false, undefined])
    holder.stdin!.end()
    expect(String((await once(holder.stdout!, 'data'))[0])).toBe('released\n')
    expect([isLockHeld(directory), lockHolder(directory)]).toEqual([false, undefined])
  })

  it('of a killed process does not hold, though its file lies there', async () => {
    const directory = temporaryDirectory()
    const holder = await holderOf(directory)
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    expect(fs.readFileSync(path.join(directory, 'LOCK'), 'utf8')).toBe(`${holder.pid}\n`)
    const lock = lockDirectory(directory)
    expect(fs.readFileSync(path.join(directory, 'LOCK'), 'utf8')).toBe(`${process.pid}\n`)
    lock.release()
  })

  it('of this process holds off another', async () => {
    const directory = temporaryDirectory()
    const lock = lockDirectory(directory)
    const late = spawn(process.execPath, [HOLDER, directory], { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    late.stderr!.on('data', (chunk) => {
      said += chunk
    })
    const [code] = await once(late, 'close')
    expect(code).not.toBe(0)
    expect(said).toContain(`LOCKED: ${directory} is held by process ${process.pid}`)
    lock.release()
  })

  it('is not kept from its holder by what a file of that name says', () => {
    const directory = temporaryDirectory()
    fs.writeFileSync(path.join(directory, 'LOCK'), `${'9'.repeat(500)}`)
    const lock = lockDirectory(directory)
    expect(refusal('LOCKED', () => lockDirectory(directory)).pid).toBe(process.pid)
    fs.writeFileSync(path.join(directory, 'LOCK'), 'no number')
    expect(refusal('LOCKED', () => lockDirectory(directory)).pid).toBeUndefined()
    lock.release()
  })
})

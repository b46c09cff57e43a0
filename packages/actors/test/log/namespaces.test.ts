import fs from 'node:fs'
import path from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Walrus } from '#actors/index.js'
import { expectRefusal, temporaryDirectory } from './fixture.js'

function setEnvironment(name: string, value: string | undefined): void {
  const before = process.env[name]
  onTestFinished(() => {
    if (before === undefined) delete process.env[name]
    else process.env[name] = before
  })
  if (value === undefined) delete process.env[name]
  else process.env[name] = value
}

test('a log that nobody named is where the environment says, and what is named comes first', async () => {
  const [directory, other] = [temporaryDirectory(), temporaryDirectory()]
  setEnvironment('WALRUS_DATA_DIR', directory)
  setEnvironment('WALRUS_INSTANCE_KEY', 'billing')
  const walrus = await Walrus.open()
  expect(walrus.directory).toBe(path.join(directory, 'billing'))
  // One namespace is one log: another is open beside it.
  const beside = await Walrus.open(undefined, { namespace: 'orders' })
  expect(beside.directory).toBe(path.join(directory, 'orders'))
  const elsewhere = await Walrus.open(other)
  expect(elsewhere.directory).toBe(path.join(other, 'billing'))
  await expectRefusal(Walrus.open(), 'LOCKED', { pid: process.pid })
  for (const log of [walrus, beside, elsewhere]) await log.close()
  setEnvironment('WALRUS_INSTANCE_KEY', undefined)
  const plain = await Walrus.open()
  expect(plain.directory).toBe(path.join(directory, 'default'))
  await plain.close()
})

test('names that would leave the directory are refused, and nothing is made', async () => {
  const directory = path.join(temporaryDirectory(), 'data')
  for (const name of ['../x', 'a/b', 'a\\b', '.', '..', '/etc', '', 'a\0', '-x']) {
    await expectRefusal(Walrus.open(directory, { namespace: name }), 'INVALID_ARGUMENT', { field: 'namespace' })
    if (name === '') continue
    setEnvironment('WALRUS_INSTANCE_KEY', name.replace('\0', ' '))
    await expectRefusal(Walrus.open(directory), 'INVALID_ARGUMENT', { field: 'namespace' })
  }
  expect(fs.existsSync(directory)).toBe(false)
})

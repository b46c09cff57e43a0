import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const prepareUrl = new URL('../prepare.mjs', import.meta.url)
const stepFile = fileURLToPath(new URL('./waiting-step.mjs', import.meta.url))

// A signal to the whole group reaches the step by itself too; its end may then be seen before our own signal.
it.each([
  ['us alone', (pid: number) => process.kill(pid, 'SIGINT')],
  ['the whole group', (pid: number) => process.kill(-pid, 'SIGINT')],
])('an interrupt of %s, while a step runs, ends the step with us, and no other follows', async (_, interrupt) => {
  const script = `
    import { runNode } from ${JSON.stringify(prepareUrl)}
    await runNode(${JSON.stringify(stepFile)}, [])
    console.log('the next step')
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe', detached: true })
  await once(child.stdout, 'readable')
  interrupt(child.pid!)
  // Standard output ends when nobody holds it any more: the step has ended too.
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  expect({ output, code }).toEqual({ output: 'waiting\n', code: 130 })
})

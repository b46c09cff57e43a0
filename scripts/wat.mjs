import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import loadWabt from 'wabt'

/**
 * Compiles WebAssembly text to its binary form.
 *
 * @param {string | URL} file
 * @returns {Promise<Uint8Array>}
 */
export async function compileText(file) {
  const wabt = await loadWabt()
  const module = wabt.parseWat(basename(String(file)), readFileSync(file, 'utf8'), {
    simd: true,
    threads: true,
    bulk_memory: true,
  })
  try {
    return module.toBinary({}).buffer
  } finally {
    module.destroy()
  }
}

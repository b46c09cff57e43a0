// Turns packages/core/src/format/xxh3.wat into the module that is imported, bytes and all, so that nothing has to be found
// or read at run time. A test compiles the text again and compares.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { install, root } from './prepare.mjs'

await install()
const { compileText } = await import('./wat.mjs')

const folder = join(root, 'packages/core/src/format')
const base64 = Buffer.from(await compileText(join(folder, 'xxh3.wat'))).toString('base64')
const lines = base64.match(/.{1,110}/g) ?? []
writeFileSync(
  join(folder, 'xxh3-code.ts'),
  `// Made from xxh3.wat by \`npm run wasm\`.\nexport const XXH3_CODE = [\n${lines.map((line) => `  '${line}',`).join('\n')}\n].join('')\n`,
)

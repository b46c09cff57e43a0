import fc from 'fast-check'
import { expect, it } from 'vitest'
import { cutAndParse } from '../support/cutting.js'

const spaces = fc.constantFrom('', ' ', '\n', '\r\n\t')

it('any JSON array is cut into its elements, however it is laid out and read', () => {
  const element = fc.tuple(spaces, fc.json({ maxDepth: 3 }), spaces)
  const reads = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 })
  const property = fc.property(
    fc.array(element),
    reads,
    fc.integer({ min: 1, max: 64 }),
    (elements, sizes, chunkBytes) => {
      const source = ` [${elements.map((parts) => parts.join('')).join(',')}]\n`
      const { values, rejects } = cutAndParse(source, { format: 'json', reads: sizes, chunkBytes, isHungry: true })
      expect(rejects).toEqual([])
      expect(values).toEqual(elements.map(([, json]) => json.trim()))
    },
  )
  fc.assert(property, { numRuns: 300 })
})

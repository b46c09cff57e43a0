import { expect, test } from 'vitest'
import { ownWords } from '#core/own-words.js'

test('what another thread sent is the same in words of this thread, and what is no plain object is taken as it is', () => {
  const sent = structuredClone({
    type: 'open',
    place: { durability: 'disk', ['__proto__']: 'own' },
    bytes: new Uint8Array([1, 2]),
    epochs: new Map([[1, 2]]),
    names: ['a'],
    nothing: null,
    left: undefined,
  })
  const own = ownWords(sent)
  expect(own).toEqual(sent)
  expect(Object.keys(own.place)).toEqual(['durability', '__proto__'])
  expect([own.bytes, own.epochs, own.names]).toEqual([sent.bytes, sent.epochs, sent.names])
  expect(own.bytes).toBe(sent.bytes)
  expect(own.epochs).toBe(sent.epochs)
  expect([ownWords('x'), ownWords(7), ownWords(undefined)]).toEqual(['x', 7, undefined])
})

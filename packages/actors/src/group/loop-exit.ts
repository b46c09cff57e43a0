import { inspect } from 'node:util'
import { promiseHooks } from 'node:v8'

/**
 * A promise for a loop to wait for as it is left (an iterator's `return`), or a scope (`Symbol.asyncDispose`): behind it,
 * `tell` is told whether an error goes out of the async function that waits.
 *
 * JavaScript calls `return` in the same way whether a loop is left by `break` or by `throw`, and says nothing of which.
 * But it waits for what `return` gives, and what the function does next shows: where it was left by `throw`, the last
 * thing that happens as it runs on is that its own promise is rejected. So promises are watched for as long as that one
 * step takes. An error that is caught within the same function, or on whose way that function waits for something, is
 * not seen.
 */
export function whenLeft<Value>(value: Value, tell: (isByThrow: boolean) => void): Promise<Value> {
  let resolve: (value: Value) => void = () => {}
  const left = new Promise<Value>((settle) => {
    resolve = settle
  })
  // By then the loop waits, so that what is added now comes behind it.
  queueMicrotask(() => {
    let settledLast: Promise<unknown> | undefined
    void left.then(() => {
      stop()
      tell(settledLast !== undefined && isRejected(settledLast))
    })
    resolve(value)
    const stop = promiseHooks.createHook({
      init() {
        settledLast = undefined
      },
      settled(promise) {
        settledLast = promise
      },
    })
  })
  return left
}

/** The state of a promise, without a reaction that would count as handling its error. */
function isRejected(promise: Promise<unknown>): boolean {
  return /^Promise \{\s*<rejected>/.test(inspect(promise, { depth: 0, customInspect: false }))
}

import { describe, expect, it } from 'vitest'
import { checkReadOptions, checkTopicOptions } from '#actors/log/options.js'

describe('an option that cannot be', () => {
  it.each([
    [{ partitions: 0 }, 'partitions: 0 was given, at least 1 is wanted'],
    [{ partitions: 4097 }, 'partitions: 4097 was given, at most 4096 is wanted'],
    [{ partitions: 1.5 }, 'partitions: 1.5 was given, a whole number is wanted'],
    [{ partitions: '2' }, 'partitions: "2" was given, a number is wanted'],
    [{ codec: 'xml' }, 'codec: "xml" was given, "bytes" or "utf8" or "json" or "msgpack" is wanted'],
    [{ durability: 'soon' }, 'durability: "soon" was given, another value is wanted'],
    [{ retention: { ms: -1 } }, 'retention.ms: -1 was given, at least 0 is wanted'],
    [{ retention: { days: 1 } }, 'retention: there is no "days"'],
    [{ partition: 1 }, 'partition: there is no "partition"'],
    [null, 'options: null was given, an object is wanted'],
  ])('is named with what was given and what is wanted: %j', (options, words) => {
    expect(() => checkTopicOptions(options as object)).toThrow(
      `INVALID_ARGUMENT: option ${words}; see the table of options in the README`,
    )
  })

  it('is named so where it is a flag', () => {
    expect(() => checkReadOptions({ follow: 1 as never })).toThrow('follow: 1 was given, true or false is wanted')
  })
})

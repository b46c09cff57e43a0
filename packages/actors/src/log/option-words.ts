import { shown } from '@walrus-log/core'
import type { z } from 'zod'

const WANTED: Readonly<Record<string, string>> = {
  int: 'a whole number',
  object: 'an object',
  array: 'an array',
  string: 'text',
  number: 'a number',
  boolean: 'true or false',
}

/** What was given for an option, and what is wanted, in place of the schema library's words. */
export function optionWords(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'unrecognized_keys') return `there is no ${shown(issue.keys[0])}`
  const wanted = wantedWords(issue)
  return wanted === undefined ? undefined : `${shown(issue.input)} was given, ${wanted} is wanted`
}

function wantedWords(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'too_small':
      return issue.origin === 'string' ? 'text that is not empty' : `at least ${issue.minimum}`
    case 'too_big':
      return `at most ${issue.maximum}`
    case 'invalid_type':
      return WANTED[issue.expected]
    case 'invalid_value':
      return issue.values.map((value) => shown(value)).join(' or ')
    case 'invalid_union':
      return 'another value'
    default:
      return undefined
  }
}

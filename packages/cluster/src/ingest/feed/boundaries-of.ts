import type { Format } from '../format.js'
import type { Boundaries } from './boundaries.js'
import { CsvBoundaries } from './csv-boundaries.js'
import { JsonBoundaries } from './json-boundaries.js'
import { NewlineBoundaries } from './newline-boundaries.js'

/** What finds the records of a format. */
export function boundariesOf(format: Format, delimiter: string): Boundaries {
  if (format === 'json') return new JsonBoundaries()
  return format === 'csv' ? new CsvBoundaries(delimiter) : new NewlineBoundaries()
}

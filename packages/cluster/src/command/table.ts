import Table from 'cli-table3'
import type { Colours } from './output.js'

/** A table as text. Columns whose cells are numbers, or look like them, are right-aligned. */
export function renderTable(head: string[], rows: string[][], colours: Colours): string {
  const colAligns = head.map((_, column) => (rows.every((row) => /^[\d.,-]/.test(row[column])) ? 'right' : 'left'))
  const table = new Table({
    head: head.map((text) => colours.bold(text)),
    colAligns: colAligns as ('left' | 'right')[],
    // The library's own colours do not ask whether there is a terminal.
    style: { head: [], border: [], compact: true },
  })
  table.push(...rows)
  return table.toString()
}

import type { Case } from './cases/case.js'
import type { Figure } from './figure.js'
import type { ThreadProfile } from './profiler.js'

const FUNCTIONS_MAX = 12
const SHARE_MIN = 0.01
const HEADINGS = ['figure', 'value', 'unit', 'baseline', 'ratio', 'spread', 'target', 'reached']

/** The figures as a table for people, with what the baselines are below each case's first figure. */
export function formatTable(figures: readonly Figure[]): string {
  const rows = figures.map((figure) => [
    figure.name,
    formatNumber(figure.value),
    figure.unit,
    figure.baseline === null ? '' : formatNumber(figure.baseline),
    figure.ratio === null ? '' : formatRatio(figure.ratio),
    figure.spread === null ? '' : figure.spread.map(figure.on === 'ratio' ? formatRatio : formatNumber).join('..'),
    figure.target === null ? '' : `${figure.bound} ${figure.target}${figure.on === 'value' ? ` ${figure.unit}` : ''}`,
    figure.reached === null ? '' : figure.reached ? 'yes' : 'NO',
  ])
  const widths = HEADINGS.map((heading, column) => Math.max(heading.length, ...rows.map((row) => row[column].length)))
  const isNumber = [false, true, false, true, true, true, true, false]
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (isNumber[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column])))
      .join('  ')
      .trimEnd()
  return [
    line(HEADINGS),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    '',
    ...formatNotes(figures),
  ].join('\n')
}

function formatNotes(figures: readonly Figure[]): string[] {
  const lines: string[] = []
  for (const { name, against, note } of figures) {
    const parts = [against === null ? undefined : `baseline: ${against}`, note].filter((part) => part !== undefined)
    if (parts.length > 0) lines.push(`${name}: ${parts.join('; ')}`)
  }
  const missed = figures.filter(({ reached }) => reached === false).map(({ name }) => name)
  if (missed.length === 0) return lines
  const cases = [...new Set(missed.map((name) => name.split('/')[0]))]
  lines.push(
    '',
    `Not reached: ${missed.join(', ')}. Where the time goes: npm run bench -- --profile ${cases.join(' | ')}`,
  )
  return lines
}

export function formatProfile({ thread, seconds, functions }: ThreadProfile): string {
  const lines = functions
    .filter(({ share }) => share >= SHARE_MIN)
    .slice(0, FUNCTIONS_MAX)
    .map(({ name, place, share }) => `${(share * 100).toFixed(1).padStart(6)} %  ${name}  ${place}`)
  return [`${thread}: ${seconds.toFixed(2)} s`, ...lines].join('\n')
}

export function formatList(cases: readonly Case[]): string {
  const width = Math.max(...cases.map(({ name }) => name.length))
  return cases.map(({ name, about }) => `${name.padEnd(width)}  ${about}`).join('\n')
}

function formatNumber(value: number): string {
  const size = Math.abs(value)
  if (size >= 100) return Math.round(value).toLocaleString('en-US')
  if (size >= 10) return value.toFixed(1)
  return value.toFixed(size >= 1 ? 2 : 3)
}

function formatRatio(ratio: number): string {
  return ratio >= 100 ? ratio.toFixed(0) : ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2)
}

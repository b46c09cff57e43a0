/**
 * One measured figure, as `--json` gives it. `value` and `baseline` are medians over the rounds; `ratio` is the median of
 * the rounds' own ratios, since what a round's neighbours do to it they do to both sides.
 */
export interface Figure {
  /** `case/figure`. */
  name: string
  value: number
  unit: string
  /** What the same rounds measured of the baseline, in the same unit; null where there is none. */
  baseline: number | null
  /** What the baseline is. */
  against: string | null
  /** value / baseline. */
  ratio: number | null
  /** Smallest and largest of the rounds, of what the target is about (see `on`). */
  spread: [number, number] | null
  target: number | null
  /** Whether the target is a least or a most, and of which number; null without a target. */
  bound: '>=' | '<=' | null
  on: 'ratio' | 'value'
  reached: boolean | null
  /** What one has to know to read the figure. */
  note?: string
}

export interface Target {
  bound: '>=' | '<='
  value: number
}

export const atLeast = (value: number): Target => ({ bound: '>=', value })
export const atMost = (value: number): Target => ({ bound: '<=', value })

export interface FigureParts {
  name: string
  unit: string
  against: string | null
  /** One number a round, in `unit`. */
  values: readonly number[]
  /** One number a round, of the same rounds. */
  baselines?: readonly number[]
  target?: Target
  on?: 'ratio' | 'value'
  note?: string
}

/** A figure whose target, if it has one, is about the ratio unless `on` says otherwise. */
export function figureOf(parts: FigureParts): Figure {
  const { name, unit, against, values, baselines, target, note } = parts
  const ratios = baselines?.map((baseline, round) => values[round] / baseline)
  const on = parts.on ?? (ratios === undefined ? 'value' : 'ratio')
  const measured = on === 'ratio' && ratios !== undefined ? ratios : values
  const middle = median(measured)
  return {
    name,
    value: median(values),
    unit,
    baseline: baselines === undefined ? null : median(baselines),
    against,
    ratio: ratios === undefined ? null : median(ratios),
    spread: [Math.min(...measured), Math.max(...measured)],
    target: target?.value ?? null,
    bound: target?.bound ?? null,
    on,
    reached: target === undefined ? null : target.bound === '>=' ? middle >= target.value : middle <= target.value,
    ...(note === undefined ? {} : { note }),
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((left, right) => left - right)
  const middle = sorted.length >>> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

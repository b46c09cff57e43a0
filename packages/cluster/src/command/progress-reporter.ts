import cliProgress from 'cli-progress'
import type { IngestProgress } from '../ingest/progress.js'
import { BYTES_PER_MB, perSecond } from '../ingest/summary.js'
import { counted, decimal, timeLeft } from './numbers.js'
import type { Output } from './output.js'

const LINE_EVERY_MS = 1000
const BAR_EVERY_MS = 100
const FRACTION_TO_TELL = 0.01

/** How far a run is. `text` is asked for when it is shown. */
export interface Shown {
  phase: string
  /** Of the whole, 0 to 1; undefined where nobody knows. */
  fraction: number | undefined
  text: () => string
}

/** Shows how far a run is: a bar on a terminal, a line a second elsewhere. */
export class ProgressReporter {
  readonly #output: Output
  readonly #bar: cliProgress.SingleBar | undefined
  readonly #timer: NodeJS.Timeout
  #progress: Shown | undefined
  /** In the last line, where there is no bar. */
  #told: Shown | undefined
  #isBarShown = false
  readonly #onExit = () => this.end()

  constructor(output: Output) {
    this.#output = output
    if (output.isTerminal) this.#bar = createBar(output)
    this.#timer = setInterval(() => this.#show(), this.#bar ? BAR_EVERY_MS : LINE_EVERY_MS)
    // The run keeps the process alive, not what tells of it.
    this.#timer.unref()
    // A process that ends at once, on the second Ctrl-C, gives the terminal its cursor back all the same.
    process.once('exit', this.#onExit)
  }

  update(progress: Shown): void {
    const isNewPhase = this.#progress?.phase !== progress.phase
    this.#progress = progress
    if (this.#bar && isNewPhase) this.#show()
  }

  /** Writes a line that stays, above the bar. */
  line(text: string): void {
    if (this.#isBarShown) this.#output.stream.write('\r\x1b[K')
    this.#output.line(text)
  }

  end(): void {
    process.off('exit', this.#onExit)
    clearInterval(this.#timer)
    if (this.#isBarShown) this.#bar?.stop()
    this.#isBarShown = false
  }

  #show(): void {
    const progress = this.#progress
    if (!progress) return
    if (!this.#bar) {
      // Where nothing has moved there is nothing to say.
      if (progress !== this.#told) this.#output.line(progress.text())
      this.#told = progress
      return
    }
    const { fraction = 0, text } = progress
    if (!this.#isBarShown) this.#bar.start(1, 0, { text: '' })
    this.#isBarShown = true
    this.#bar.update(fraction, { text: text() })
  }
}

function createBar(output: Output): cliProgress.SingleBar {
  return new cliProgress.SingleBar(
    {
      stream: output.stream,
      format: '{bar} {text}',
      barsize: 24,
      clearOnComplete: true,
      hideCursor: true,
      // A line that was written above has taken the bar away.
      forceRedraw: true,
      // The process ends by its own rules on Ctrl-C.
      gracefulExit: false,
    },
    cliProgress.Presets.shades_classic,
  )
}

export function ingestShown(progress: IngestProgress): Shown {
  return { phase: progress.phase, fraction: fractionOf(progress), text: () => progressText(progress) }
}

function fractionOf({ bytes, bytesTotal }: IngestProgress): number | undefined {
  return bytesTotal ? Math.min(bytes / bytesTotal, 1) : undefined
}

/** For example `ingest: 61 %, 1,234,567 records, 512,000 records/s, 45.2 MB/s, 12 s left`. */
export function progressText(progress: IngestProgress): string {
  const { phase, records, bytes, bytesTotal, seconds } = progress
  const fraction = fractionOf(progress)
  const bytesPerSecond = perSecond(bytes, seconds)
  const parts = [
    counted(records, 'record'),
    `${decimal(perSecond(records, seconds))} records/s`,
    `${decimal(bytesPerSecond / BYTES_PER_MB)} MB/s`,
  ]
  if (fraction !== undefined) parts.unshift(`${Math.floor(fraction * 100)} %`)
  // The first moments say little about the rest.
  if (bytesTotal && bytes / bytesTotal >= FRACTION_TO_TELL)
    parts.push(`${timeLeft((bytesTotal - bytes) / bytesPerSecond)} left`)
  return `${phase}: ${parts.join(', ')}`
}

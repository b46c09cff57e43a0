import { parseArgs } from 'node:util'

export interface Arguments {
  only: string[]
  rounds: number
  scale: number
  /** Seconds. */
  patience: number
  dir: string | undefined
  json: boolean
  list: boolean
  help: boolean
  /** The one case to be profiled. */
  profile: string | undefined
}

/** Something the user can mend: told without a stack. */
export class UsageError extends Error {}

export const HELP = `Usage: npm run bench -- [options]

Measures the log against baselines in the same interleaved rounds, and prints the figures as ratios.

  --only NAME...    only these cases (see --list)
  --rounds N        rounds a case (5; with --quick 3)
  --scale X         multiplies the amount of data (1; with --quick 0.3)
  --quick           everything in under three minutes; shorter runs, wider spreads
  --patience S      spend up to S seconds on waiting until others leave the machine alone, and on measuring again what
                    they disturbed (0)
  --dir PATH        measure on this directory's file system; a new directory is made in it and deleted afterwards
  --json            print {"figures": [...]} on standard output and nothing else
  --profile NAME    run one case for one round of twice the data, and print where each thread's time goes
  --list            names of the cases
  --help            this text
`

const QUICK = { rounds: 3, scale: 0.3 }
const FULL = { rounds: 5, scale: 1 }
/** Long enough that a thread's start is a small part of its profile. */
const PROFILE = { rounds: 1, scale: 2 }

export function parseArguments(words: readonly string[], caseNames: readonly string[]): Arguments {
  const { values, positionals } = parse(words)
  const preset = values.profile !== undefined ? PROFILE : values.quick ? QUICK : FULL
  // `--only a b` leaves `b` as a positional.
  const only = [...(values.only ?? []), ...positionals].flatMap((name) => name.split(','))
  if (positionals.length > 0 && values.only === undefined)
    throw new UsageError(`unexpected '${positionals[0]}'; cases are chosen with --only`)
  const profile = values.profile
  for (const name of profile === undefined ? only : [...only, profile]) {
    if (!caseNames.includes(name))
      throw new UsageError(`no case is called '${name}'; there are: ${caseNames.join(', ')}`)
  }
  return {
    only: profile === undefined ? only : [profile],
    rounds: positive('rounds', values.rounds, preset.rounds, true),
    scale: positive('scale', values.scale, preset.scale, false),
    patience: values.patience === undefined ? 0 : positive('patience', values.patience, 0, false),
    dir: values.dir,
    json: values.json,
    list: values.list,
    help: values.help,
    profile,
  }
}

function parse(words: readonly string[]) {
  try {
    return parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        only: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        scale: { type: 'string' },
        quick: { type: 'boolean', default: false },
        patience: { type: 'string' },
        dir: { type: 'string' },
        json: { type: 'boolean', default: false },
        profile: { type: 'string' },
        list: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function positive(name: string, text: string | undefined, preset: number, isWhole: boolean): number {
  if (text === undefined) return preset
  const value = Number(text)
  if (value > 0 && Number.isFinite(value) && (!isWhole || Number.isInteger(value))) return value
  throw new UsageError(`--${name} is a ${isWhole ? 'whole ' : ''}number above zero, '${text}' was given`)
}

/** Command line of the demo. Its neighbour run.ts does what the options say. */
import { parseArgs } from 'node:util'

export interface DemoOptions {
  /** How long each read percentage stays. */
  readonly stepSeconds: number
  /** Leave everything up after the closing table, until Ctrl-C. */
  readonly keep: boolean
  /** Where the application finds its database; 0 takes any free port. */
  readonly port: number
  readonly adminPort: number
}

export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export const usage = `npm run demo -- [options]

  --seconds N      how long each step lasts (default: 5)
  --keep           leave everything up at the end and print how to try it
  --port N         port of the sidecar, 0 for any (default: 6432, or any when that is taken)
  --admin-port N   port of its admin API, 0 for any (default: 7070, or any when that is taken)
  --help`

/** Returns the options, or undefined when help was asked for. Throws UsageError. */
export function parseOptions(argv: readonly string[]): DemoOptions | undefined {
  const values = parseValues(argv)
  if (values.help === true) return undefined
  return {
    stepSeconds: integer('seconds', values.seconds ?? '5', 1, 3_600),
    keep: values.keep === true,
    port: integer('port', values.port ?? '6432', 0, 65_535),
    adminPort: integer('admin-port', values['admin-port'] ?? '7070', 0, 65_535),
  }
}

function parseValues(argv: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = { seconds: text, keep: flag, port: text, 'admin-port': text, help: flag }
  try {
    return parseArgs({ args: [...argv], options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

function integer(option: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw new UsageError(`--${option}: ${text} is not a whole number from ${min} to ${max}`)
  }
  return value
}

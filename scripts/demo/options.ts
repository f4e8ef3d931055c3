/** Command line of the demo. Its neighbour run.ts does what the options say. */
import { parseArgs } from 'node:util'
import { parseWholeNumber, UsageError } from '../command-line.ts'

export interface DemoOptions {
  /** How long the shop is watched between two steps. */
  readonly stepSeconds: number
  /** Orders that are there before the demo begins. */
  readonly ordersCount: number
  /** Leave everything up after the closing table, until Ctrl-C. */
  readonly keep: boolean
  /** Where the application finds its database; 0 takes any free port. */
  readonly port: number
  readonly adminPort: number
}

export const usage = `npm run demo -- [options]

  --seconds N      how long the shop is watched between two steps (default: 4)
  --orders N       orders that are there before it begins (default: 100000)
  --keep           leave everything up at the end and print how to try it
  --port N         port of the sidecar, 0 for any (default: 6432, or any when that is taken)
  --admin-port N   port of its admin API, 0 for any (default: 7070, or any when that is taken)
  --help`

/** Returns the options, or undefined when help was asked for. Throws UsageError. */
export function parseOptions(argv: readonly string[]): DemoOptions | undefined {
  const values = parseValues(argv)
  if (values.help === true) return undefined
  return {
    stepSeconds: parseWholeNumber('seconds', values.seconds ?? '4', 1, 3_600),
    ordersCount: parseWholeNumber('orders', values.orders ?? '100000', 1_000, 10_000_000),
    keep: values.keep === true,
    port: parseWholeNumber('port', values.port ?? '6432', 0, 65_535),
    adminPort: parseWholeNumber('admin-port', values['admin-port'] ?? '7070', 0, 65_535),
  }
}

function parseValues(argv: readonly string[]) {
  const text = { type: 'string' } as const
  const flag = { type: 'boolean' } as const
  const options = {
    seconds: text,
    orders: text,
    keep: flag,
    port: text,
    'admin-port': text,
    help: flag,
  }
  try {
    return parseArgs({ args: [...argv], options }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

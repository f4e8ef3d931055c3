/**
 * Command line of the Redis benchmark: which commands, pipeline depths, client counts and peers.
 * Its neighbours: run.ts measures every combination of them, redis-benchmark.ts makes one run.
 */
import { parseArgs } from 'node:util'
import { parseWholeNumber, UsageError } from '../../command-line.ts'
import { integers, oneOf } from '../option-values.ts'

/** By their names in redis-benchmark -t; mset sets ten keys. */
export const commandNames = ['get', 'set', 'incr', 'lpush', 'hset', 'mset'] as const
export const redisPeerNames = ['direct', 'twemproxy', 'pontoon', 'pontoon-tls'] as const

export type CommandName = (typeof commandNames)[number]
export type RedisPeerName = (typeof redisPeerNames)[number]

export interface RedisBenchOptions {
  readonly commands: readonly CommandName[]
  readonly pipelines: readonly number[]
  readonly clients: readonly number[]
  readonly peers: readonly RedisPeerName[]
  readonly rounds: number
  /** How long one run takes, about: redis-benchmark counts requests, not time. */
  readonly seconds: number
  /** Connections of each proxy to Redis. */
  readonly poolSize: number
  readonly keys: number
  readonly valueBytes: number
  readonly jsonFile: string | undefined
}

export interface Combination {
  readonly command: CommandName
  readonly pipeline: number
  readonly clients: number
}

export const usage = `npm run bench:redis -- [options]

  --commands LIST       ${commandNames.join(',')} (default: all)
  --pipelines LIST      requests a client sends ahead (default: 1,16)
  --clients LIST        connections of redis-benchmark (default: 50,500)
  --peers LIST          ${redisPeerNames.join(',')} (default: all but pontoon-tls)
  --rounds N            rounds, at least 1 (default: 5)
  --seconds N           length of one run, about (default: 2)
  --pool-size N         connections of each proxy to Redis (default: 1)
  --keys N              size of the key space (default: 100000)
  --value-bytes N       size of values (default: 64)
  --json FILE           write every run and the summary to FILE
  --help

pontoon-tls is Pontoon with TLS to Redis; twemproxy has none.`

/** Returns the options, or undefined when help was asked for. Throws UsageError. */
export function parseOptions(argv: readonly string[]): RedisBenchOptions | undefined {
  const values = parseValues(argv)
  if (values.help === true) return undefined
  return {
    commands: oneOf('commands', values.commands, commandNames),
    pipelines: integers('pipelines', values.pipelines ?? '1,16'),
    clients: integers('clients', values.clients ?? '50,500'),
    peers: oneOf('peers', values.peers ?? 'direct,twemproxy,pontoon', redisPeerNames),
    rounds: parseWholeNumber('rounds', values.rounds ?? '5', 1),
    seconds: parseWholeNumber('seconds', values.seconds ?? '2', 1),
    poolSize: parseWholeNumber('pool-size', values['pool-size'] ?? '1', 1),
    keys: parseWholeNumber('keys', values.keys ?? '100000', 1),
    valueBytes: parseWholeNumber('value-bytes', values['value-bytes'] ?? '64', 1),
    jsonFile: values.json,
  }
}

export function combinations(options: RedisBenchOptions): readonly Combination[] {
  return options.commands.flatMap((command) =>
    options.pipelines.flatMap((pipeline) =>
      options.clients.map((clients) => ({ command, pipeline, clients })),
    ),
  )
}

export function describeCombination({ command, pipeline, clients }: Combination): string {
  return `${command} -P ${pipeline} ${clients} clients`
}

function parseValues(argv: readonly string[]) {
  const text = { type: 'string' } as const
  try {
    return parseArgs({
      args: [...argv],
      options: {
        commands: text,
        pipelines: text,
        clients: text,
        peers: text,
        rounds: text,
        seconds: text,
        'pool-size': text,
        keys: text,
        'value-bytes': text,
        json: text,
        help: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

/** pontoon verify SERVICE: whether both sides of a PostgreSQL service are equal, while both live. */
import { verifyService, type ServiceReport } from '../migration/pg/verify/verify-service.ts'
import {
  verifyDefaults,
  type VerifyProgress,
  type VerifyTablesOptions,
} from '../migration/pg/verify/verify-tables.ts'
import { PontoonError } from '../shared/errors.ts'
import { configOption } from './config-files.ts'
import { exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode, ParsedArgs } from './command.ts'
import { parseDuration } from './duration.ts'
import { Progress } from './progress.ts'
import { serviceJobOf, type ServiceJob } from './service-job.ts'
import { describeVerify } from './verify-report.ts'

const jobsMax = 64

export const verify: Command = {
  name: 'verify',
  summary: 'Compare both sides: rows, schema, sequences; repair with --repair.',
  details:
    'Works while both sides are in use, before and after a cutover. Rows are hashed in the\n' +
    'databases, chunk by chunk; where a chunk differs, its rows are read again until sync has\n' +
    'passed, and only then they count. Run again after a crash or Ctrl-C, it goes on where it was.\n' +
    'Exit code 0: equal; 1: differences; 4: stopped; 5: no difference, but rows that changed so\n' +
    'often that they could not be compared.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: {
    ...configOption,
    table: {
      value: 'NAME',
      multiple: true,
      help: 'Only this table (schema.table) with its partitions; repeatable.',
    },
    'keys-only': { help: 'Compare which rows there are, not what is in them.' },
    repair: { help: 'Make rows of the other side equal to the primary side.' },
    jobs: {
      value: 'N',
      help: `Chunks compared at once, 1 to ${jobsMax} (default ${verifyDefaults.jobs}).`,
    },
    rate: { value: 'ROWS', help: 'Rows per second at most, on each side, such as 200000.' },
    'chunk-rows': {
      value: 'N',
      help: `Rows of a chunk, about (default ${verifyDefaults.chunkRows}).`,
    },
    'statement-timeout': {
      value: 'DURATION',
      help: 'Longest time for one statement (default 10m); a table without a key is one.',
    },
    'sync-timeout': {
      value: 'DURATION',
      help: 'How long sync may take to pass a position (default 60s).',
    },
    limit: {
      value: 'N',
      help: `Differing rows listed of each table (default ${verifyDefaults.listedMax}).`,
    },
    'show-values': { help: 'Show values of rows that differ; only keys otherwise.' },
    'no-schema': { help: 'Compare rows only.' },
    'as-is': { help: 'Do not wait for sync.' },
    restart: { help: 'Begin anew instead of going on.' },
    'dry-run': { help: 'With --repair: say what would be repaired and change nothing.' },
  },
  examples: [
    'pontoon verify orders',
    'pontoon verify orders --table public.items --show-values',
    'pontoon verify orders --repair --dry-run',
    'pontoon verify orders --keys-only --rate 100000',
  ],
  run,
}

async function run(input: CommandInput): Promise<ExitCode> {
  const { args, output, streams } = input
  const job = serviceJobOf(input)
  const progress = new Progress({ json: output.json, streams })
  const stop = new AbortController()
  const onSignal = (): void => {
    const again = `run pontoon verify ${job.service} again and it goes on where it was`
    stop.abort(new PontoonError('ABORTED', `Stopped; ${again}.`))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  try {
    const report = await verifyService({
      ...tableOptions(args, job),
      stateFolder: job.whole.state.file,
      withSchema: !args.has('no-schema'),
      restart: args.has('restart'),
      signal: stop.signal,
      onProgress: (now) => progress.report(progressOf(job.service, now)),
      onResume: () =>
        progress.event('resumed', { service: job.service }, 'Going on with what was begun.'),
    })
    progress.close()
    output.result({ service: job.service, ...report }, () =>
      describeVerify(job.service, report, args.has('dry-run') && args.has('repair')),
    )
    return exitCodeOfResult(report)
  } finally {
    progress.close()
    process.removeListener('SIGINT', onSignal)
    process.removeListener('SIGTERM', onSignal)
  }
}

function tableOptions(args: ParsedArgs, job: ServiceJob): VerifyTablesOptions {
  const rate = args.value('rate')
  return {
    context: job,
    exclude: job.config.migration.exclude,
    only: args.values('table'),
    jobs: wholeNumber(args, 'jobs', verifyDefaults.jobs, jobsMax),
    chunkRows: wholeNumber(args, 'chunk-rows', verifyDefaults.chunkRows, 10_000_000),
    keysOnly: args.has('keys-only'),
    rateRows: rate === undefined ? null : wholeNumber(args, 'rate', 1, 1_000_000_000),
    statementTimeoutMs: duration(args, 'statement-timeout', verifyDefaults.statementTimeoutMs),
    syncTimeoutMs: duration(args, 'sync-timeout', verifyDefaults.syncTimeoutMs),
    listedMax: wholeNumber(args, 'limit', verifyDefaults.listedMax, 100_000),
    showValues: args.has('show-values'),
    asIs: args.has('as-is'),
    repair: args.has('repair') && !args.has('dry-run'),
  }
}

function exitCodeOfResult({ result }: ServiceReport): ExitCode {
  const codes = {
    equal: exitCodes.ok,
    different: exitCodes.failed,
    unsettled: exitCodes.pending,
  } as const
  return codes[result]
}

function progressOf(
  service: string,
  { rows, rowsTotal, differing, active }: VerifyProgress,
): Parameters<Progress['report']>[0] {
  return {
    name: `verify ${service}`,
    unit: 'rows',
    done: rows,
    total: rowsTotal,
    active: active.map((one) => ({ name: one.table, done: one.rows, total: one.rowsTotal })),
    ...(differing === 0 ? {} : { note: `${differing} rows differ` }),
  }
}

function wholeNumber(args: ParsedArgs, option: string, usual: number, max: number): number {
  const text = args.value(option)
  if (text === undefined) return usual
  const number = /^\d+$/.test(text) ? Number(text) : 0
  if (number >= 1 && number <= max) return number
  throw new PontoonError('USAGE', `--${option}: '${text}' is no whole number from 1 to ${max}.`)
}

function duration(args: ParsedArgs, option: string, usualMs: number): number {
  const text = args.value(option)
  return text === undefined ? usualMs : parseDuration(text, `--${option}`)
}

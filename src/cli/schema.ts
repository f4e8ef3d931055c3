/** pontoon schema: roles, Pontoon's own tables, and the definitions of the source on the target. */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { tlsModes } from '../config/schema.ts'
import { printSql } from '../migration/pg/schema/print-sql.ts'
import { runSchema, sideRoles, type SchemaJob } from '../migration/pg/schema/job.ts'
import type { AdminLogin, Admins } from '../migration/pg/schema/access.ts'
import { findPgDump } from '../migration/pg/schema/pg-dump.ts'
import { isWhole, type SchemaReport } from '../migration/pg/schema/report.ts'
import type { Mark } from '../migration/pg/control-schema.ts'
import { PontoonError } from '../shared/errors.ts'
import { isSide, sides, type Side } from '../shared/side.ts'
import { systemErrorCode } from '../shared/system-error.ts'
import { replaceFile } from '../store/durable-file.ts'
import { FolderLock } from '../store/folder-lock.ts'
import { parseState } from '../store/state-format.ts'
import { dryRunOption, exitCodes } from './command.ts'
import type { Command, CommandInput, ExitCode, ParsedArgs } from './command.ts'
import { configOption } from './config-files.ts'
import { parseDatabaseUrl } from './database-url.ts'
import { Progress } from './progress.ts'
import { describeSchema } from './schema-text.ts'
import { serviceJobOf, type ServiceJob } from './service-job.ts'

export const schema: Command = {
  name: 'schema',
  summary: 'Prepare both databases of a service and bring its definitions to the target.',
  details:
    "Makes Pontoon's roles and tables on both sides, the application's roles on the target (without\n" +
    'passwords), and everything that data needs to be copied into; then fences the target. With\n' +
    '--post-data, after the copy, the rest: triggers, policies, rules, materialized views, and\n' +
    'what indexes and constraints are still missing. What is there already stays as it is, so it\n' +
    'may run again. Table data never goes. Exit code 1 if something failed or differs.',
  positionals: [{ name: 'SERVICE', help: 'Name of the service.' }],
  options: {
    ...configOption,
    'post-data': { help: 'What comes after the data.' },
    'print-sql': { help: "Print the SQL of Pontoon's roles and tables per side; connect nowhere." },
    side: { value: 'SIDE', help: 'With --print-sql: that of the source or the target only.' },
    'source-admin': {
      value: 'URL',
      help: 'Who may make roles on the source (or PONTOON_SOURCE_ADMIN; default: controlUser).',
    },
    'target-admin': {
      value: 'URL',
      help: 'Who may make roles on the target (or PONTOON_TARGET_ADMIN; default: controlUser).',
    },
    'pg-dump': { value: 'PATH', help: 'pg_dump to use (default: the one on PATH).' },
    ...dryRunOption,
  },
  examples: [
    'pontoon schema orders --dry-run',
    'pontoon schema orders --source-admin postgres://postgres@db.internal/orders',
    'pontoon schema orders --print-sql --side target > target.sql',
    'pontoon schema orders --post-data',
  ],
  run,
}

function sidesOf(args: ParsedArgs): readonly Side[] {
  const side = args.value('side')
  if (side === undefined) return sides
  if (isSide(side)) return [side]
  throw new PontoonError('USAGE', `--side ${side}: give source or target.`)
}

async function run(input: CommandInput): Promise<ExitCode> {
  const { args, output } = input
  const service = serviceJobOf(input)
  const mark = await firstMark(service)
  if (args.has('print-sql')) {
    const printed = sidesOf(args).map((side) => printSql(sideRoles(service, side), mark))
    output.result({ service: service.service, sides: printed }, () =>
      printed.map(({ sql }) => sql).join('\n\n'),
    )
    return exitCodes.ok
  }
  const folder = join(service.whole.state.file, 'jobs', service.service, 'schema')
  await mkdir(folder, { recursive: true })
  const lock = await FolderLock.acquire(folder)
  try {
    const report = await withSignals((signal) => work(input, service, mark, signal))
    await replaceFile(join(folder, `${report.part}.json`), `${JSON.stringify(report, null, 2)}\n`)
    output.result({ ok: isWhole(report), ...report }, () => describeSchema(report))
    return isWhole(report) ? exitCodes.ok : exitCodes.failed
  } finally {
    await lock.release()
  }
}

async function work(
  { args, output, streams, env }: CommandInput,
  context: ServiceJob,
  mark: Mark,
  signal: AbortSignal,
): Promise<SchemaReport> {
  const progress = new Progress({ json: output.json, streams })
  const part = args.has('post-data') ? 'post-data' : 'pre-data'
  const { config, whole } = context
  const job: SchemaJob = {
    context,
    others: Object.values(whole.services).flatMap((one) =>
      one.protocol === 'postgres' && one !== config ? [one] : [],
    ),
    admins: adminsOf({ args, env }),
    pgDump: await findPgDump(args.value('pg-dump'), env),
    part,
    isDryRun: args.has('dry-run'),
    mark,
    signal,
    progress: (done, total, name) => {
      progress.report({ name: part, unit: 'steps', done, total, note: name })
    },
  }
  try {
    return await runSchema(job)
  } finally {
    progress.close()
  }
}

/** The stored route where this machine has it; before a sidecar has run, the source is primary. */
async function firstMark({ service, whole }: ServiceJob): Promise<Mark> {
  const path = join(whole.state.file, 'state.json')
  try {
    const route = parseState(await readFile(path, 'utf8'), path).routes.get(service)
    if (route !== undefined) return { epoch: route.epoch, primary: route.primary }
  } catch (thrown) {
    if (systemErrorCode(thrown) !== 'ENOENT') throw thrown
  }
  return { epoch: 1, primary: 'source' }
}

function adminsOf({ args, env }: Pick<CommandInput, 'args' | 'env'>): Admins {
  const entries = sides.flatMap((side) => {
    const url = args.value(`${side}-admin`) ?? env[`PONTOON_${side.toUpperCase()}_ADMIN`]
    return url === undefined || url === '' ? [] : [[side, adminOf(side, url)] as const]
  })
  return Object.fromEntries(entries)
}

/** Throws USAGE. */
function adminOf(side: Side, url: string): AdminLogin {
  const { user, password, hosts, options } = parseDatabaseUrl(url)
  const [place] = hosts
  if (user === undefined || place === undefined)
    throw new PontoonError('USAGE', `--${side}-admin: the URL names no user.`)
  const mode = options.find(([name]) => name === 'sslmode')?.[1]
  const tlsMode = tlsModes.find((one) => one === mode)
  return {
    ...place,
    user,
    password: password ?? null,
    ...(tlsMode === undefined ? {} : { tlsMode }),
  }
}

async function withSignals<T>(act: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController()
  const stop = (name: NodeJS.Signals): void => {
    const text = `stopped by ${name}; what is done stays, and the same command goes on from there`
    abort.abort(new PontoonError('ABORTED', text))
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    return await act(abort.signal)
  } finally {
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
}

/**
 * `pontoon init [DATABASE_URL] [REDIS_URL]`: writes a first configuration from what the
 * application uses today, and says what to set and which URL the application uses from then on.
 * No password is written or printed.
 */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { redactUrl } from '../config/redact.ts'
import { PontoonError } from '../shared/errors.ts'
import { systemErrorCode } from '../shared/system-error.ts'
import { exitCodes, type ExitCode } from './command.ts'
import { isDatabaseUrl, parseDatabaseUrl } from './database-url.ts'
import { reportFailure } from './failure.ts'
import { renderInitFile } from './init-file.ts'
import { planInit, type InitPlan } from './init-plan.ts'
import { planRedisInit } from './init-redis.ts'
import { createOutput } from './output.ts'

export interface InitIo {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdout: { write(text: string): unknown }
  readonly stderr: { write(text: string): unknown }
  readonly cwd: string
}

interface InitArgs {
  readonly databaseUrl: string
  readonly redisUrl: string | undefined
  readonly output: string
  readonly force: boolean
  readonly dryRun: boolean
}

/** What is printed with --json. */
interface InitResult extends Pick<InitPlan, 'environment' | 'notes'> {
  readonly services: readonly Pick<InitPlan, 'service' | 'listen' | 'url'>[]
  readonly file: string
  readonly written: boolean
  readonly content?: string
}

const defaultFile = 'pontoon.yml'

export async function runInit(args: readonly string[], io: InitIo): Promise<ExitCode> {
  const output = createOutput(args.includes('--json'), {
    out: (text) => io.stdout.write(text),
    err: (text) => io.stderr.write(text),
  })
  try {
    const result = await init(readArgs(args, io), io)
    output.result(result, () => describe(result))
    return exitCodes.ok
  } catch (thrown) {
    return reportFailure(thrown, output)
  }
}

async function init(args: InitArgs, io: InitIo): Promise<InitResult> {
  const plan = args.databaseUrl === '' ? null : planInit(parseDatabaseUrl(args.databaseUrl), io)
  const redis = args.redisUrl === undefined ? null : planRedisInit(args.redisUrl, plan?.service)
  const content = renderInitFile(plan, redis)
  const file = resolve(io.cwd, args.output)
  if (!args.dryRun) await write(file, content, args.force)
  else if (existsSync(file) && !args.force) throw exists(args.output)
  const plans = [plan, redis].filter((one) => one !== null)
  return {
    file: shown(file, io.cwd),
    written: !args.dryRun,
    services: plans.map(({ service, listen, url }) => ({ service, listen, url })),
    environment: plans.flatMap(({ environment }) => environment),
    notes: plans.flatMap(({ notes }) => notes),
    ...(args.dryRun ? { content } : {}),
  }
}

async function write(file: string, content: string, force: boolean): Promise<void> {
  try {
    await writeFile(file, content, { flag: force ? 'w' : 'wx' })
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'EEXIST') throw exists(file)
    const why = code === 'ENOENT' ? `the folder ${dirname(file)} does not exist` : String(error)
    throw new PontoonError('CONFIG_UNREADABLE', `${file} cannot be written: ${why}`, {
      cause: error,
    })
  }
}

function exists(file: string): PontoonError {
  return new PontoonError(
    'CONFIG_UNREADABLE',
    `${file} exists already: --force replaces it, --output FILE writes another one`,
  )
}

/** Throws USAGE. */
function readArgs(args: readonly string[], { env }: InitIo): InitArgs {
  const { values, positionals } = parse(args)
  const stray = positionals.find((text) => !isDatabaseUrl(text) && !isRedis(text))
  if (stray !== undefined) {
    const what = `${redactUrl(stray)} is neither a postgres:// nor a redis:// URL`
    throw new PontoonError('USAGE', `init: ${what}`)
  }
  if (positionals.filter(isDatabaseUrl).length > 1 || positionals.filter(isRedis).length > 1) {
    throw new PontoonError('USAGE', 'init takes one DATABASE_URL and one REDIS_URL at most')
  }
  const databaseUrl = positionals.find(isDatabaseUrl) ?? env['DATABASE_URL'] ?? ''
  const redisUrl = positionals.find(isRedis) ?? env['REDIS_URL'] ?? ''
  if (databaseUrl === '' && redisUrl === '') {
    const what = 'init needs the URL that the application uses today'
    throw new PontoonError('USAGE', `${what}: as an argument, or in DATABASE_URL or REDIS_URL`)
  }
  return {
    databaseUrl,
    redisUrl: redisUrl === '' ? undefined : redisUrl,
    output: values.output ?? defaultFile,
    force: values.force ?? false,
    dryRun: values['dry-run'] ?? false,
  }
}

function isRedis(text: string): boolean {
  return /^(?:rediss?|valkeys?):\/\//i.test(text)
}

function parse(args: readonly string[]): ReturnType<typeof parseInitArgs> {
  try {
    return parseInitArgs(args)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new PontoonError('USAGE', `init: ${reason}`, { cause: error })
  }
}

function parseInitArgs(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    options: {
      output: { type: 'string' },
      force: { type: 'boolean' },
      'dry-run': { type: 'boolean' },
      json: { type: 'boolean' },
    },
    allowPositionals: true,
  })
}

/** As someone in this folder would write it. */
function shown(file: string, cwd: string): string {
  const path = relative(cwd, file)
  return path.startsWith('..') || isAbsolute(path) ? file : path
}

function describe(result: InitResult): string {
  const urls = result.services.map(({ url }) => url)
  const noun = urls.length === 1 ? 'URL' : 'URLs'
  const services = result.services
    .map(({ service, listen }) => `service ${service}, listening on ${listen}`)
    .join('; ')
  const width = Math.max(...result.environment.map(({ name }) => name.length))
  const lines = [
    ...(result.content === undefined ? [] : [result.content]),
    `${result.written ? 'Wrote' : 'Would write'} ${result.file}: ${services}.`,
    '',
    'Set these before you start Pontoon:',
    ...result.environment.map(({ name, meaning }) => `  ${name.padEnd(width)}  ${meaning}`),
    '',
    urls.some((url) => url.includes(':***@'))
      ? `The ${noun} of the application, with its password in the place of ***:`
      : `The ${noun} of the application:`,
    ...urls.map((url) => `  ${url}`),
    '',
    ...result.notes.map((note) => `Note: ${note}`),
    ...(result.notes.length > 0 ? [''] : []),
    'Next:',
    `  pontoon check --config ${result.file}`,
    `  pontoon serve --config ${result.file}`,
  ]
  return lines.join('\n')
}

/** The user's own pg_dump: found, asked for its version, run against a side. */
import { execFile, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access as mayUse, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { PontoonError } from '../../../shared/errors.ts'
import { pontoonSchema } from '../names.ts'
import { libpqEnvironment, type SideAccess } from './access.ts'
import { parseArchive, type Dump } from './archive.ts'

export interface PgDump {
  readonly path: string
  readonly major: number
  /** Of the process: PATH and what else a program needs. */
  readonly environment: Readonly<Record<string, string | undefined>>
}

const versionTimeoutMs = 10_000
const dumpTimeoutMs = 3_600_000
const archiveBytesMax = 512 * 1024 * 1024
const wordsBytesMax = 16 * 1024
const lockWait = '30s'

/** `given` is a path; otherwise PATH is searched. Throws MIGRATION_REFUSED saying what to install. */
export async function findPgDump(
  given: string | undefined,
  environment: PgDump['environment'],
): Promise<PgDump> {
  const path = given ?? (await onPath(environment['PATH'] ?? ''))
  if (path === null) {
    throw new PontoonError(
      'MIGRATION_REFUSED',
      'there is no pg_dump on PATH: install the client programs of PostgreSQL (Debian: ' +
        'postgresql-client, macOS: brew install libpq) or name one with --pg-dump',
    )
  }
  let text: string
  try {
    const asked = await promisify(execFile)(path, ['--version'], { timeout: versionTimeoutMs })
    text = asked.stdout
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new PontoonError('MIGRATION_REFUSED', `${path} cannot be run: ${why}`, { cause: error })
  }
  const major = Number(/(\d+)(?:\.\d+|beta|rc|devel)/.exec(text)?.[1] ?? 0)
  if (major < 10)
    throw new PontoonError('MIGRATION_REFUSED', `${path} is too old or no pg_dump: ${text.trim()}`)
  return { path, major, environment }
}

/** Whether it may dump that server: pg_dump refuses servers newer than itself. */
export function canDump({ major }: PgDump, serverMajor: number): boolean {
  return major >= serverMajor
}

/** Throws MIGRATION_REFUSED. */
export function requireDumpOf(dump: PgDump, serverMajor: number): void {
  if (canDump(dump, serverMajor)) return
  throw new PontoonError(
    'MIGRATION_REFUSED',
    `${dump.path} is of PostgreSQL ${dump.major} and cannot dump the source, which is ` +
      `${serverMajor}: install postgresql-client-${serverMajor} or newer (apt.postgresql.org has ` +
      'all versions) and name it with --pg-dump',
  )
}

/** Definitions only, in archive form. Rejects with MIGRATION_REFUSED and pg_dump's own words. */
export async function dumpDefinitions(
  program: PgDump,
  access: SideAccess,
  signal: AbortSignal,
): Promise<Dump> {
  const folder = await mkdtemp(join(tmpdir(), 'pontoon-schema-'))
  try {
    const own = await libpqEnvironment(access, folder)
    // What the surroundings say of another database must not reach it.
    const inherited = Object.entries(program.environment).filter(([name]) => !name.startsWith('PG'))
    const environment = { ...Object.fromEntries(inherited), ...own }
    return parseArchive(await run(program.path, access, environment, signal))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function run(
  path: string,
  { side }: SideAccess,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<Buffer> {
  const args = [
    '--format=custom',
    '--compress=0',
    '--section=pre-data',
    '--section=post-data',
    `--exclude-schema=${pontoonSchema}`,
    '--no-subscriptions',
    '--encoding=UTF8',
    `--lock-wait-timeout=${lockWait}`,
    '--no-password',
  ]
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      timeout: dumpTimeoutMs,
    })
    const pieces: Buffer[] = []
    let bytes = 0
    let words = ''
    const fail = (why: string): void => {
      const text = `pg_dump of the ${side} failed: ${why}`
      reject(signal.aborted ? signal.reason : new PontoonError('MIGRATION_REFUSED', text))
    }
    child.stdout.on('data', (piece: Buffer) => {
      bytes += piece.length
      if (bytes > archiveBytesMax) child.kill()
      else pieces.push(piece)
    })
    child.stderr.on('data', (piece: Buffer) => {
      words = `${words}${piece.toString()}`.slice(-wordsBytesMax)
    })
    child.once('error', (error) => fail(error.message))
    child.once('close', (code, killed) => {
      if (code === 0) resolve(Buffer.concat(pieces))
      else if (bytes > archiveBytesMax) fail(`it gave more than ${archiveBytesMax} bytes`)
      else fail(words.trim() === '' ? `it ended with ${code ?? killed}` : words.trim())
    })
  })
}

async function onPath(path: string): Promise<string | null> {
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, 'pg_dump')
    if (folder !== '' && (await isProgram(candidate))) return candidate
  }
  return null
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await mayUse(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

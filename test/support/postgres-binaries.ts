/**
 * Where the programs of each PostgreSQL major lie. 15 is the Debian package; the others come as npm
 * packages, whose library links npm cannot carry and whose folder an unprivileged user may not be
 * able to read, so a repaired copy is made once per machine. Neighbour: postgres.ts.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs'
import { chmodSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'

const postgresMajors = [10, 11, 12, 13, 14, 15, 16, 17, 18] as const

export type PostgresMajor = (typeof postgresMajors)[number]

const manifestSchema = z.object({ version: z.string() })
const linksSchema = z.array(z.object({ source: z.string(), target: z.string() }))
const debianFolder = '/usr/lib/postgresql/15/bin'

export function majorOf(text: string): PostgresMajor {
  const major = postgresMajors.find((known) => String(known) === text)
  if (major === undefined) throw new Error(`no major of PostgreSQL that is tested: ${text}`)
  return major
}

/** The folder with initdb and postgres; for 15 also the client programs (psql, pg_dump, pgbench). */
export function postgresBinFolder(major: PostgresMajor): string {
  if (major !== 15) return join(repairedCopy(major), 'bin')
  if (existsSync(join(debianFolder, 'postgres'))) return debianFolder
  throw new Error(
    `PostgreSQL 15 is not installed (${debianFolder} is missing); ` +
      'npm test, npm run demo and npm run bench:pg install it when run as root on Debian, ' +
      'otherwise run: apt-get install postgresql-15',
  )
}

function repairedCopy(major: PostgresMajor): string {
  // The package exports its dist/index.js only, so the root is found from there.
  const root = dirname(dirname(createRequire(import.meta.url).resolve(`pg${major}`)))
  const manifest = readFileSync(join(root, 'package.json'), 'utf8')
  const { version } = manifestSchema.parse(JSON.parse(manifest))
  const owner = process.getuid?.() ?? 0
  const copy = join(tmpdir(), `pontoon-postgres-${version}-${owner}`)
  if (existsSync(copy)) return copy

  // Built aside and renamed, so that nobody ever sees half a copy and two makers do no harm.
  const draft = mkdtempSync(`${copy}.`)
  const native = join(draft, 'native')
  cpSync(join(root, 'native'), native, { recursive: true, verbatimSymlinks: true })
  linkLibraries(draft)
  removeForeignExtensions(native, major)
  makeReadable(native)
  try {
    renameSync(native, copy)
  } catch (error) {
    if (!existsSync(copy)) throw error
  } finally {
    rmSync(draft, { recursive: true, force: true })
  }
  return copy
}

function linkLibraries(folder: string): void {
  const text = readFileSync(join(folder, 'native', 'pg-symlinks.json'), 'utf8')
  for (const { source, target } of linksSchema.parse(JSON.parse(text))) {
    const link = join(folder, target)
    mkdirSync(dirname(link), { recursive: true })
    if (!existsSync(link)) symlinkSync(basename(source), link)
  }
}

/**
 * The packages of old majors also hold extensions of a newer one, whose control file the server
 * cannot read: pg_available_extensions would fail.
 */
function removeForeignExtensions(native: string, major: PostgresMajor): void {
  const firstMajorWithTrusted = 13
  if (major >= firstMajorWithTrusted) return
  const folder = join(native, 'share', 'postgresql', 'extension')
  for (const name of readdirSync(folder)) {
    const path = join(folder, name)
    if (name.endsWith('.control') && /^trusted/m.test(readFileSync(path, 'utf8'))) rmSync(path)
  }
}

/** `chmod -R a+rX`, whatever the umask of whoever ran npm. */
function makeReadable(folder: string): void {
  chmodSync(folder, 0o755)
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) makeReadable(path)
    else if (entry.isFile()) chmodSync(path, (statSync(path).mode & 0o100) === 0 ? 0o644 : 0o755)
  }
}

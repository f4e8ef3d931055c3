/**
 * What tests, demo and benchmarks need beside Node and npm packages: Debian packages, installed
 * when they are lacking and we are root, otherwise named in an error. Costs nothing when
 * everything is there. Neighbour: apt.ts, which installs.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { installPackages } from './apt.ts'

/** Debian's own, which its python3-* packages are for; another one may come first on the PATH. */
export const debianPython = '/usr/bin/python3'

interface Requirement {
  /** The Debian package that brings it. */
  readonly package: string
  isThere(): boolean
}

/** Where PostgreSQL 15 of Debian keeps its server and client programs. */
export const postgres15BinFolder = '/usr/lib/postgresql/15/bin'

/** PostgreSQL's JDBC driver as Debian packages it. */
export const jdbcDriver = '/usr/share/java/postgresql.jar'

export const libpqHeaders = '/usr/include/postgresql'

const requirements = {
  postgres: {
    package: 'postgresql-15',
    isThere: () => existsSync(join(postgres15BinFolder, 'postgres')),
  },
  pgbench: {
    package: 'postgresql-15',
    isThere: () => existsSync(join(postgres15BinFolder, 'pgbench')),
  },
  psql: {
    package: 'postgresql-client-15',
    isThere: () => existsSync(join(postgres15BinFolder, 'psql')),
  },
  pgcopydb: { package: 'pgcopydb', isThere: () => isOnPath('pgcopydb') },
  pgbouncer: { package: 'pgbouncer', isThere: () => isOnPath('pgbouncer') },
  openssl: { package: 'openssl', isThere: () => isOnPath('openssl') },
  python3: { package: 'python3', isThere: () => existsSync(debianPython) },
  psycopg2: { package: 'python3-psycopg2', isThere: () => hasPythonModule('psycopg2') },
  asyncpg: { package: 'python3-asyncpg', isThere: () => hasPythonModule('asyncpg') },
  'psycopg 3': { package: 'python3-psycopg', isThere: () => hasPythonModule('psycopg') },
  javac: { package: 'default-jdk-headless', isThere: () => isOnPath('javac') },
  jdbc: { package: 'libpostgresql-jdbc-java', isThere: () => existsSync(jdbcDriver) },
  gcc: { package: 'gcc', isThere: () => isOnPath('gcc') },
  'libc headers': { package: 'libc6-dev', isThere: () => existsSync('/usr/include/stdio.h') },
  libpq: { package: 'libpq-dev', isThere: () => existsSync(join(libpqHeaders, 'libpq-fe.h')) },
  prometheus: { package: 'prometheus', isThere: () => isOnPath('prometheus') },
  promtool: { package: 'prometheus', isThere: () => isOnPath('promtool') },
  'docker-compose': { package: 'docker-compose', isThere: () => isOnPath('docker-compose') },
  'redis-server': { package: 'redis-server', isThere: () => isOnPath('redis-server') },
  'redis-cli': { package: 'redis-tools', isThere: () => isOnPath('redis-cli') },
  'redis-benchmark': { package: 'redis-tools', isThere: () => isOnPath('redis-benchmark') },
  nutcracker: { package: 'nutcracker', isThere: () => isOnPath('nutcracker') },
  'redis-py': { package: 'python3-redis', isThere: () => hasPythonModule('redis') },
} as const satisfies Record<string, Requirement>

export type Tool = keyof typeof requirements

/**
 * Everything that any test asks for. It is installed ahead of the tests: they run side by side
 * under a time limit, and of two that install at once, one could let a service of the other start.
 */
export const testTools: readonly Tool[] = [
  'pgbouncer',
  'openssl',
  'python3',
  'psycopg2',
  'asyncpg',
  'psycopg 3',
  'javac',
  'jdbc',
  'gcc',
  'libc headers',
  'libpq',
  'prometheus',
  'promtool',
  'docker-compose',
  'redis-server',
  'redis-cli',
  'redis-py',
]

/** PostgreSQL 15 with initdb, pg_dump and pgbench; the other majors are npm packages. */
export async function ensurePostgres(): Promise<void> {
  await ensureTools(['postgres', 'pgbench', 'psql'])
}

/** Throws with the command to run when something is lacking and cannot be installed from here. */
export async function ensureTools(tools: readonly Tool[]): Promise<void> {
  const lacking = tools.filter((tool) => !requirements[tool].isThere())
  if (lacking.length === 0) return
  const packages = [...new Set(lacking.map((tool) => requirements[tool].package))]
  const remedy = `apt-get install ${packages.join(' ')}`
  if (process.getuid?.() !== 0) {
    throw new Error(`${lacking.join(', ')} not found; as root run: ${remedy}`)
  }
  if (!isOnPath('apt-get')) {
    throw new Error(`${lacking.join(', ')} not found, and this is not Debian; it needs: ${remedy}`)
  }
  process.stderr.write(`installing ${packages.join(', ')} for ${lacking.join(', ')}\n`)
  await installPackages(packages)
  const still = lacking.filter((tool) => !requirements[tool].isThere())
  if (still.length > 0) throw new Error(`${still.join(', ')} not found even after: ${remedy}`)
}

function isOnPath(program: string): boolean {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  // Debian keeps servers in sbin, which an ordinary user's PATH lacks.
  return [...folders, '/usr/sbin'].some((folder) => existsSync(join(folder, program)))
}

function hasPythonModule(name: string): boolean {
  return spawnSync(debianPython, ['-c', `import ${name}`], { stdio: 'ignore' }).status === 0
}

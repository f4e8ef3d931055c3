/**
 * The files of one test server: initdb, postgresql.conf, pg_hba.conf, certificates, and their
 * removal. Neighbour: postgres.ts, which runs the server on them.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { isAlive } from './child-processes.ts'
import type { PostgresMajor } from './postgres-binaries.ts'
import { giveTo } from './system-user.ts'
import type { SystemUser } from './system-user.ts'

export type PostgresAuth = 'trust' | 'md5' | 'scram-sha-256' | 'password' | 'cert'

export interface PostgresTls {
  /** PEM text. */
  readonly cert: string
  readonly key: string
  /** PEM text of the authority that client certificates must come from. */
  readonly ca?: string
  /** Refuse TCP clients without TLS. Default false. */
  readonly force?: boolean
  /** Ask every TLS client for a certificate that `ca` signed, beside its password. */
  readonly requireClientCert?: boolean
}

export interface ClusterOptions {
  readonly major: PostgresMajor
  readonly binFolder: string
  readonly user: SystemUser | undefined
  readonly superuser: string
  readonly password: string
  readonly auth: PostgresAuth
  readonly tls: false | PostgresTls
  readonly settings: Readonly<Record<string, string>>
  readonly listenUnix: boolean
}

export interface Cluster {
  readonly binFolder: string
  readonly user: SystemUser | undefined
  readonly folder: string
  readonly dataFolder: string
  readonly logFile: string
  readonly tls: boolean
  /** TCP clients log in with a certificate and in no other way. */
  readonly certOnly: boolean
}

const defaultSettings: Readonly<Record<string, string>> = {
  // fsync guards against a crash of the machine only. synchronous_commit stays on: without it an
  // acknowledged commit is lost when the server is killed, and tests could not blame the proxy.
  fsync: 'off',
  full_page_writes: 'off',
  max_connections: '300',
  shared_buffers: '64MB',
  wal_level: 'logical',
  listen_addresses: '127.0.0.1',
  log_timezone: 'UTC',
  timezone: 'UTC',
}

const jitSinceMajor = 11
const prefix = 'pontoon-pg-'
const run = promisify(execFile)

export async function createCluster(options: ClusterOptions): Promise<Cluster> {
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`))
  const cluster: Cluster = {
    binFolder: options.binFolder,
    user: options.user,
    folder,
    dataFolder: join(folder, 'data'),
    logFile: join(folder, 'log'),
    tls: options.tls !== false,
    certOnly: options.auth === 'cert',
  }
  try {
    writeFileSync(join(folder, 'host'), hostname())
    giveTo(options.user, folder)
    await initialise(cluster, options)
    writeTlsFiles(cluster, options.tls)
    appendFileSync(join(cluster.dataFolder, 'postgresql.conf'), configuration(cluster, options))
    writeFileSync(join(cluster.dataFolder, 'pg_hba.conf'), hostRules(options))
  } catch (error) {
    removeCluster(cluster)
    throw error
  }
  return cluster
}

export function removeCluster(cluster: Cluster): void {
  rmSync(cluster.folder, { recursive: true, force: true, maxRetries: 5 })
}

/** Folders of processes that were killed with SIGKILL and could not tidy up. */
export function sweepAbandonedClusters(): void {
  for (const name of readdirSync(tmpdir())) {
    if (!name.startsWith(prefix)) continue
    const folder = join(tmpdir(), name)
    const owner = Number(name.slice(prefix.length).split('-')[0])
    try {
      // The host name keeps containers that share a folder, but no pids, from each other's files.
      const ours = readFileSync(join(folder, 'host'), 'utf8') === hostname()
      if (ours && !isAlive(owner)) rmSync(folder, { recursive: true, force: true })
    } catch {
      // Another process sweeps too, or it belongs to another user.
    }
  }
}

/**
 * initdb costs a second and a half, a copy of what it has made a tenth of that. So all clusters of
 * one kind have the same system identifier, and what depends on that cannot be tested with two.
 */
async function initialise(cluster: Cluster, options: ClusterOptions): Promise<void> {
  const template = await templateOf(cluster, options)
  await run('cp', ['-a', template, cluster.dataFolder])
}

/** Made once per machine. */
async function templateOf(cluster: Cluster, options: ClusterOptions): Promise<string> {
  // With md5, initdb also sets password_encryption, so that later users get md5 verifiers too.
  const auth = options.auth === 'md5' ? 'md5' : 'scram-sha-256'
  const args = ['-U', options.superuser, '-A', auth, '--encoding=UTF8', '--locale=C', '--no-sync']
  const initdb = join(cluster.binFolder, 'initdb')
  const { mtimeMs } = statSync(initdb)
  const kind = JSON.stringify([
    'sparse',
    initdb,
    mtimeMs,
    args,
    options.password,
    options.user?.uid,
  ])
  const digest = createHash('sha256').update(kind).digest('hex').slice(0, 16)
  const template = join(tmpdir(), `pontoon-initdb-${digest}-${process.getuid?.() ?? 0}`)
  if (existsSync(template)) return template

  const passwordFile = join(cluster.folder, 'password')
  writeFileSync(passwordFile, `${options.password}\n`, { mode: 0o600 })
  giveTo(options.user, passwordFile)
  const draft = join(cluster.folder, 'draft')
  await run(initdb, ['-D', draft, `--pwfile=${passwordFile}`, ...args], {
    cwd: cluster.folder,
    env: { ...process.env, LC_ALL: 'C' },
    ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
  })
  rmSync(passwordFile)
  // Most of the first WAL segment is zeros, which `cp` leaves out once they are holes.
  const sparse = join(cluster.folder, 'sparse')
  await run('cp', ['-a', '--sparse=always', draft, sparse])
  rmSync(draft, { recursive: true })
  // Renamed when it is whole, so that two makers do no harm.
  try {
    renameSync(sparse, template)
  } catch (error) {
    if (!existsSync(template)) throw error
    rmSync(sparse, { recursive: true })
  }
  return template
}

function writeTlsFiles(cluster: Cluster, tls: false | PostgresTls): void {
  if (tls === false) return
  const files = { 'server.crt': tls.cert, 'server.key': tls.key, 'client-ca.crt': tls.ca }
  for (const [name, text] of Object.entries(files)) {
    if (text === undefined) continue
    const path = join(cluster.dataFolder, name)
    writeFileSync(path, text, { mode: 0o600 })
    giveTo(cluster.user, path)
  }
}

function configuration(cluster: Cluster, options: ClusterOptions): string {
  const settings: Record<string, string> = { ...defaultSettings }
  // A backend that compiles a query first loads LLVM: a tenth of a second, for tables of a few rows.
  if (options.major >= jitSinceMajor) settings['jit'] = 'off'
  settings['unix_socket_directories'] = options.listenUnix ? cluster.folder : ''
  if (options.tls !== false) {
    settings['ssl'] = 'on'
    if (options.tls.ca !== undefined) settings['ssl_ca_file'] = 'client-ca.crt'
  }
  Object.assign(settings, options.settings)
  const lines = Object.entries(settings).map(
    ([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`,
  )
  return `\n${lines.join('\n')}\n`
}

/** The keyword `all` does not match replication connections, hence the second half. */
function hostRules({ major, auth, tls }: ClusterOptions): string {
  const hostType = tls !== false && tls.force === true ? 'hostssl' : 'host'
  // Before 12 any word but 1 means, without an error, that no certificate is asked for.
  const verify = major < 12 ? '1' : 'verify-ca'
  const isDemanded = tls !== false && tls.requireClientCert === true && auth !== 'cert'
  const demand = isDemanded ? ` clientcert=${verify}` : ''
  const localAuth = auth === 'cert' ? 'scram-sha-256' : auth
  const lines: string[] = []
  for (const database of ['all', 'replication']) {
    lines.push(`local ${database} all ${localAuth}`)
    for (const address of ['0.0.0.0/0', '::/0']) {
      // clientcert and cert are only allowed on hostssl lines.
      const type = demand !== '' || auth === 'cert' ? 'hostssl' : hostType
      lines.push(`${type} ${database} all ${address} ${auth}${demand}`)
      const plainToo = type === 'hostssl' && tls !== false && tls.force !== true
      if (plainToo) lines.push(`hostnossl ${database} all ${address} ${localAuth}`)
    }
  }
  return `${lines.join('\n')}\n`
}

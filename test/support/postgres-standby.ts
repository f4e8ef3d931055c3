/** A streaming standby of a test server, made as people make one: pg_basebackup and a slot-less stream. */
import { execFile } from 'node:child_process'
import { appendFileSync, mkdtempSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { postgresBinFolder } from './postgres-binaries.ts'
import { removeCluster, type Cluster } from './postgres-cluster.ts'
import { PostgresServer } from './postgres.ts'
import { giveTo, unprivilegedUser } from './system-user.ts'
import { until } from './until.ts'

const run = promisify(execFile)

/** Follows `primary` as `name` when this resolves. Only 15 comes with pg_basebackup. */
export async function startStandby(primary: PostgresServer, name: string): Promise<PostgresServer> {
  const user = unprivilegedUser()
  const binFolder = postgresBinFolder(primary.major)
  const folder = mkdtempSync(join(tmpdir(), `pontoon-pg-${process.pid}-`))
  const dataFolder = join(folder, 'data')
  const cluster: Cluster = {
    binFolder,
    user,
    folder,
    dataFolder,
    logFile: join(folder, 'log'),
    tls: false,
    certOnly: false,
  }
  const standby = new PostgresServer(primary.major, primary.password, cluster)
  try {
    writeFileSync(join(folder, 'host'), hostname())
    giveTo(user, folder)
    const from = `host=${primary.host} port=${primary.port} user=${primary.superuser} application_name=${name}`
    const args = ['-D', dataFolder, '-d', from, '-R', '-X', 'stream', '-c', 'fast', '--no-sync']
    await run(join(binFolder, 'pg_basebackup'), args, {
      cwd: folder,
      env: { ...process.env, PGPASSWORD: primary.password },
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    })
    const settings = `unix_socket_directories = '${folder}'\nhot_standby = on\n`
    appendFileSync(join(dataFolder, 'postgresql.auto.conf'), settings)
    await standby.startFirst(undefined)
    const following = `SELECT FROM pg_stat_replication WHERE application_name = '${name}' AND state = 'streaming'`
    await until(async () => (await primary.query(following)).length === 1, 'it follows', 20_000)
  } catch (error) {
    await standby.stop()
    removeCluster(cluster)
    throw error
  }
  return standby
}

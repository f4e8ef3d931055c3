/** A real PgBouncer in front of a PostgreSQL, to hold the console against. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ensureTools } from '../../scripts/lib/requirements.ts'
import { startChild } from './child-processes.ts'
import { freePort } from './free-port.ts'
import { connect } from './pg-wire.ts'
import { giveTo, unprivilegedUser } from './system-user.ts'

export interface PgBouncer {
  readonly port: number
  stop(): Promise<void>
}

const startDeadlineMs = 40_000

/** Trusts `admin`, who may do everything, `stats`, who may look, and `postgres`. */
export async function startPgBouncer(postgresPort: number): Promise<PgBouncer> {
  await ensureTools(['pgbouncer'])
  const user = unprivilegedUser()
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-pgbouncer-'))
  const removeFolder = (): void => rmSync(folder, { recursive: true, force: true })
  const port = await freePort()
  const configFile = join(folder, 'pgbouncer.ini')
  const userFile = join(folder, 'users.txt')
  writeFileSync(userFile, '"admin" ""\n"stats" ""\n"postgres" "postgres"\n')
  writeFileSync(
    configFile,
    `[databases]
postgres = host=127.0.0.1 port=${postgresPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${userFile}
admin_users = admin
stats_users = stats
pool_mode = transaction
`,
  )
  giveTo(user, folder, configFile, userFile)
  const child = await startChild(
    '/usr/sbin/pgbouncer',
    ['-q', configFile],
    { user, cwd: folder },
    removeFolder,
  )
  await untilListening(port)
  return {
    port,
    stop: async () => {
      process.kill(child.pid, 'SIGQUIT')
      await child.exited
      removeFolder()
    },
  }
}

async function untilListening(port: number): Promise<void> {
  const deadline = performance.now() + startDeadlineMs
  for (;;) {
    try {
      const wire = await connect('127.0.0.1', port)
      wire.destroy()
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

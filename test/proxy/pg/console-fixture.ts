/** A whole sidecar in this process whose service has a console, and raw clients of it. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { createLog } from '../../../src/control/logging.ts'
import { startRuntime, type Runtime } from '../../../src/control/runtime.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import type { Login } from '../../support/pg-login.ts'
import { errorFields, type BackendMessage } from '../../support/pg-wire.ts'
import { rawClient, type RawClient } from '../../support/pontoon.ts'
import type { PostgresServer } from '../../support/postgres.ts'

export interface ConsoleFixture {
  readonly runtime: Runtime
  readonly port: number
  /** Rewrites the configuration file; `extra` are lines of the service. */
  readonly writeConfig: (extra: string) => void
  /** Somebody at the console, `admin` unless told otherwise. */
  readonly open: (login?: Partial<Login>) => Promise<RawClient>
  /** An application's client. */
  readonly client: (login?: Partial<Login>) => Promise<RawClient>
  readonly audit: () => Promise<readonly Record<string, unknown>[]>
}

export async function startSidecar(
  test: Test,
  server: PostgresServer,
  extra = trusting,
): Promise<ConsoleFixture> {
  const configFile = join(test.testdir({}), 'database.yml')
  const writeConfig = (lines: string): void => writeFileSync(configFile, configText(server, lines))
  writeConfig(extra)
  const { config } = loadConfig([configFile], {})
  const runtime = await startRuntime({
    config,
    configFiles: [configFile],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
  })
  test.teardown(() => runtime.stop('the test is over', 0))
  const [address] = runtime.services.get('orders')?.snapshot().listening ?? []
  const port = Number(address?.split(':').at(-1))
  return {
    runtime,
    port,
    writeConfig,
    open: (login) => rawClient(port, { user: 'admin', database: 'pgbouncer', ...login }),
    client: (login) => rawClient(port, login),
    audit: async () => {
      const answer = await fetch(new URL('/v1/audit', runtime.adminAddress))
      const { entries }: { entries: readonly Record<string, unknown>[] } = JSON.parse(
        await answer.text(),
      )
      return entries
    },
  }
}

const trusting = `
    clientAuth: { mode: trust }
    consoleUsers: [admin]
    statsUsers: [stats]
    databases: [postgres]`

function configText({ port, password }: PostgresServer, extra: string): string {
  const side = `{ host: 127.0.0.1, port: ${port}, password: ${password}, tls: { mode: disable } }`
  // The other side is never used here: reads stay on the source.
  const target = side.replace(String(port), '1')
  return `
admin: { listen: 127.0.0.1:0 }
state: { file: ./state }
drainTimeoutMs: 500
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:0
    pool: { size: 5 }
    source: ${side}
    target: ${target}${extra}
`
}

/** Everything that a RowDescription says of its columns but their table. */
export function columnsIn(
  messages: readonly BackendMessage[],
): readonly { readonly name: string; readonly type: string }[] {
  const body = messages.find(({ type }) => type === 'T')?.body
  if (body === undefined) throw new Error('no RowDescription')
  const columns = []
  let offset = 2
  for (let left = body.readInt16BE(0); left > 0; left -= 1) {
    const end = body.indexOf(0, offset)
    const type = [6, 10, 12, 16].map((at) =>
      at === 6 || at === 12 ? body.readInt32BE(end + at + 1) : body.readInt16BE(end + at + 1),
    )
    columns.push({ name: body.toString('utf8', offset, end), type: type.join('/') })
    offset = end + 19
  }
  return columns
}

/** The words of the first error, '' when there is none. */
export function errorIn(messages: readonly BackendMessage[]): string {
  const error = messages.find(({ type }) => type === 'E')
  return error === undefined ? '' : (errorFields(error)['M'] ?? '')
}

export function noticesIn(messages: readonly BackendMessage[]): string {
  const notices = messages.filter(({ type }) => type === 'N')
  return notices.map((notice) => errorFields(notice)['M'] ?? '').join('\n')
}

export function tagIn(messages: readonly BackendMessage[]): string {
  const complete = messages.find(({ type }) => type === 'C')
  return complete?.body.toString('utf8', 0, complete.body.length - 1) ?? ''
}

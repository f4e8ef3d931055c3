/**
 * From `pontoon copy` to the third switch where the target is like a managed service: TLS by an
 * authority of its own, an administrator and roles that are no superusers. Nobody of Pontoon, nor
 * the source's server, comes there without TLS. The schema is made by hand: pg_dump is older.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import tap, { type Test } from 'tap'
import { loadConfig } from '../../../../src/config/load.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { createAuthority } from '../../../support/certificates.ts'
import type { PostgresServer } from '../../../support/postgres.ts'
import { programArgs } from '../../../support/program.ts'
import { accountsCount, balanceEach, SwitchPair } from '../../../support/switch-pair.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { makeTargetTls } from '../../../support/switch-tls.ts'
import { TransferClients } from '../../../support/transfer-clients.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('17 to 18 and back, verify-full to the target', async (t) => {
  const [authority, stranger] = await Promise.all([createAuthority(), createAuthority()])
  t.teardown(() => [authority, stranger].forEach((one) => one.remove()))
  const targetTls = await makeTargetTls(authority)
  const options = { source: 17, target: 18, managed: true, targetTls, synced: false } as const
  const pair = await SwitchPair.start(options)
  t.teardown(() => pair.stop())
  await refusesOthers(t, pair, stranger.ca.certPath)
  await pair.target.query('ALTER SYSTEM SET log_connections = on')
  await pair.target.query('SELECT pg_reload_conf()')
  const { config } = loadConfig([pair.configFile], {})
  const log = createLog('warn', { write: (line) => process.stderr.write(line) })
  const configFiles = [pair.configFile]
  const runtime = await startRuntime({ config, configFiles, log, clock: systemClock })
  t.teardown(() => runtime.stop('test', 0))
  const clients = new TransferClients({
    url: pair.url(),
    clients: 4,
    accounts: accountsCount,
    intervalMs: 5,
  })
  const goOn = async (): Promise<void> => {
    const goal = clients.acknowledged + 40
    await until(() => clients.acknowledged >= goal, 'writes go on', 30_000)
  }
  const run = async (name: string, ...args: string[]): Promise<void> => {
    const line = [...programArgs('src/main.ts'), name, 'orders', ...args]
    await promisify(execFile)(process.execPath, [...line, '--config', pair.configFile], {
      env: { ...process.env, TAP: '', PONTOON_ADMIN: pair.adminUrl },
    })
  }
  await goOn()
  await run('copy')
  await run('sync')
  for (const kind of ['cutover', 'rollback', 'cutover'] as const) {
    const done = await runSwitch(pair.adminUrl, kind)
    t.equal(done.state, 'done', `${kind}: ${done.report?.reason ?? ''}`)
    if (done.state !== 'done') break
    t.comment(`${kind}: paused ${Math.round(done.report?.pauseMs ?? 0)} ms`)
    await goOn()
    const seen = await sessions(pair.target)
    t.same(
      seen.filter(({ tls }) => tls === null),
      [],
      `${kind}: nobody is at the target without TLS`,
    )
    const there = new Set(seen.map(({ role, kind: backend }) => `${role}: ${backend}`))
    const atEither = ['control: client backend', 'repl: walsender']
    const expected = kind === 'cutover' ? ['app: client backend', ...atEither] : atEither
    for (const who of expected) t.ok(there.has(who), `${kind}: ${who} is among them`)
  }
  const report = await clients.stop(pair.target.url('shop'))
  t.match(report, { lost: [], duplicated: [], unexpected: [] })
  t.equal(report.balance, accountsCount * balanceEach)
  t.same(clients.errors, [], 'no client met an error')
  await run('verify')
  loginsWereEncrypted(t, pair.target.log())
})

interface Session {
  readonly role: string
  readonly kind: string
  readonly tls: string | null
}

/** Of the data plane, the control plane, and the source's apply worker; each kind once. */
function sessions(target: PostgresServer): Promise<Session[]> {
  return target.query<Session & Record<string, unknown>>(`
    SELECT DISTINCT a.usename AS role, a.backend_type AS kind, s.version AS tls
    FROM pg_stat_activity a JOIN pg_stat_ssl s ON s.pid = a.pid
    WHERE a.client_addr IS NOT NULL AND a.usename <> 'postgres'`)
}

async function refusesOthers(t: Test, { context }: SwitchPair, ca: string): Promise<void> {
  const login = { side: 'target', purpose: 'control', task: 'test' } as const
  const { target } = context.config
  const withTarget = (changed: object): typeof context => ({
    ...context,
    config: { ...context.config, target: { ...target, ...changed } },
  })
  const tls = { ...target.tls, ca }
  await t.rejects(
    connectAs(withTarget({ tls }), login),
    { code: 'TLS_CERTIFICATE' },
    'another authority',
  )
  const host = '127.0.0.1'
  await t.rejects(
    connectAs(withTarget({ host }), login),
    { code: 'TLS_CERTIFICATE' },
    'another name',
  )
}

/** Of every login that the target has let in, however short its session was. */
function loginsWereEncrypted(t: Test, log: string): void {
  const pattern =
    /connection authorized: user=(\S+)(?: database=\S+)?(?: application_name=(.+?))?( SSL enabled \(.*\))?$/gm
  const logins = [...log.matchAll(pattern)].filter(([, role]) => role !== 'postgres')
  const plain = logins.filter(([, , , tls]) => tls === undefined)
  t.same(
    plain.map(([line]) => line),
    [],
    `all of ${logins.length} logins had TLS`,
  )
  const who = new Set(logins.map(([, role = '', task = '']) => `${role} ${task}`.trimEnd()))
  for (const expected of [
    'app',
    'control pontoon copy',
    'control pontoon switch',
    'control pontoon sync orders',
    'reader pontoon verify',
    'repl pontoon sync reverse',
  ])
    t.ok(who.has(expected), `${expected} is among them`)
  t.comment([...who].toSorted().join(', '))
}

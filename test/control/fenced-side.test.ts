/** What is said of a fenced side, of sync during a switch, and after roles were changed (15 to 15). */
import { readFileSync, writeFileSync } from 'node:fs'
import tap from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime } from '../../src/control/runtime.ts'
import { lookAtSide } from '../../src/control/side-probe.ts'
import type { SideView } from '../../src/control/side-watch.ts'
import type { SyncView } from '../../src/migration/pg/sync/supervisor.ts'
import { Secrets } from '../../src/net/secrets/secrets.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { silentLog } from '../../src/shared/log.ts'
import { pontoon, type Captured } from '../cli/capture.ts'
import { runSwitch } from '../support/switch-operation.ts'
import { SwitchPair } from '../support/switch-pair.ts'
import { until } from '../support/until.ts'

tap.setTimeout(280_000)

interface ServiceAnswer {
  readonly sides: Readonly<Record<'source' | 'target', SideView>>
  readonly sync?: SyncView
}

await tap.test('a fenced side', async (whole) => {
  const pair = await SwitchPair.start()
  const logged: string[] = []
  let atCommit: (() => Promise<void>) | null = null
  const runtime = await startRuntime({
    config: loadConfig([pair.configFile], {}).config,
    configFiles: [pair.configFile],
    log: createLog('warn', { write: (line) => void logged.push(line) }),
    clock: systemClock,
    beforeStep: async (step) => {
      if (step === 'commit' || step === 'cleanup') await atCommit?.()
    },
  })
  whole.teardown(async () => {
    await runtime.stop('the test is over', 0)
    await pair.stop()
  })
  const command = (name: string): Promise<Captured> =>
    pontoon([name, ...(name === 'check' ? [] : ['orders']), '--config', pair.configFile], {})
  const shown = async (): Promise<ServiceAnswer> => {
    const answer = await fetch(`${pair.adminUrl}/v1/services/orders`)
    const found: ServiceAnswer = JSON.parse(await answer.text())
    return found
  }
  const forwardIs = (state: string) => async (): Promise<boolean> =>
    (await shown()).sync?.health.find(({ direction }) => direction === 'forward')?.state === state
  await until(forwardIs('streaming'), 'sync is shown', 20_000)

  await whole.test('is no fault, for status and check', async (t) => {
    await until(async () => {
      const { source, target } = (await shown()).sides
      return source.state !== 'unknown' && target.state !== 'unknown'
    }, 'both were looked at')
    const { sides } = await shown()
    t.match(sides, { source: { state: 'reachable' }, target: { state: 'reachable' } })
    const checked = await command('check')
    t.equal(checked.exit, 0, checked.out)
    t.match(checked.out, /ok +login +fenced out, as it should be: .*permission denied for database/)
    t.match(checked.out, /logged in as app to database shop/, 'on the source')
    await pair.target.query(`ALTER ROLE app PASSWORD 'another'`)
    const wrong = await command('check')
    t.equal(wrong.exit, 1)
    t.match(wrong.out, /FAILED +login +.*password authentication failed for user "app"/)
    await pair.target.query(`ALTER ROLE app PASSWORD 'app'; GRANT CONNECT ON DATABASE shop TO app`)
    const open = await command('check')
    t.match(open.out, /logged in as app to database shop, although the side is fenced/)
    await pair.target.query('REVOKE CONNECT ON DATABASE shop FROM app')
  })

  await whole.test('sync is followed with the roles of a reloaded configuration', async (t) => {
    await pair.target.query(`ALTER ROLE control PASSWORD 'renewed';
      SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'control'`)
    await until(forwardIs('unreachable'), 'the old password does not do', 20_000)
    const text = readFileSync(pair.configFile, 'utf8')
    const role = 'controlUser: { user: control, password: '
    const at = text.lastIndexOf(`${role}control`)
    const renewed = `${role}renewed`
    writeFileSync(
      pair.configFile,
      text.slice(0, at) + renewed + text.slice(at + `${role}control`.length),
    )
    t.match((await runtime.reload('test')).applied, ['services.orders.target.controlUser'])
    await until(forwardIs('streaming'), 'the new one does', 20_000)
    logged.length = 0
  })

  await whole.test('a switch is quiet about the sync that it turns round', async (t) => {
    const cause = /a switch is under way/
    atCommit = async () => {
      await until(forwardIs('disabled'), 'the look falls into the switch', 20_000)
      const health = (await shown()).sync?.health ?? []
      const forward = health.find(({ direction }) => direction === 'forward')
      t.match(forward?.problem?.cause, cause)
      const refused = await command('sync')
      t.equal(refused.exit, 3)
      t.match(refused.out, cause)
      t.ok(await forwardIs('disabled')(), 'and nothing is switched on')
    }
    const done = await runSwitch(pair.adminUrl, 'cutover', { deadlineMs: 60_000 })
    t.equal(done.state, 'done', done.report?.reason ?? '')
    await until(
      async () => (await shown()).sync?.health.map(({ state }) => state).join(' ') === 'streaming',
      'only the way back is left',
      20_000,
    )
    t.same(
      logged.filter((line) => /sync does not run|cannot be reached/.test(line)),
      [],
    )
    const look = lookAtSide(new Secrets({ clock: systemClock, log: silentLog }))
    const service = runtime.services.get('orders')
    if (service === undefined) throw new Error('the service is not there')
    t.match(await look(service, 'source'), { reachable: true })
    t.match(await look(service, 'target'), { reachable: true })
  })
})

/** The sidecar follows sync of real servers (17 → 18): view, status, metrics, events, outages. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tap from 'tap'
import { stringify } from 'yaml'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime, type Runtime } from '../../src/control/runtime.ts'
import { controlSchemaSql } from '../../src/migration/pg/control-schema.ts'
import type { SyncView } from '../../src/migration/pg/sync/supervisor.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { pontoon } from '../cli/capture.ts'
import { freePort } from '../support/free-port.ts'
import { startPair } from '../support/migration-pair.ts'
import { until } from '../support/until.ts'

tap.setTimeout(280_000)

await tap.test('supervision', async (whole) => {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-watch-'))
  const pair = await startPair({
    source: 17,
    target: 18,
    // Of Pontoon's own sessions it ends none.
    settings: { idle_session_timeout: '300ms' },
    targetSettings: { wal_retrieve_retry_interval: '200ms' },
  })
  const shop = await pair.database('shop', { schema: 'CREATE TABLE item (id int PRIMARY KEY)' })
  for (const side of ['source', 'target'] as const) {
    const control = await shop.connect(side, 'control')
    await control.run(controlSchemaSql())
    await control.run('GRANT ALL ON ALL TABLES IN SCHEMA pontoon TO pontoon_repl')
  }
  const file = join(folder, 'pontoon.yml')
  const { source, target } = shop.context.config
  const sideOf = ({ host, port, controlUser, replicationUser }: typeof source): object => ({
    host,
    port,
    controlUser,
    replicationUser,
    tls: { mode: 'disable' },
  })
  const service = {
    protocol: 'postgres',
    listen: `127.0.0.1:${await freePort()}`,
    clientAuth: { mode: 'trust' },
    databases: ['shop'],
    source: sideOf(source),
    target: sideOf(target),
  }
  const admin = { listen: `127.0.0.1:${await freePort()}` }
  writeFileSync(
    file,
    stringify({ admin, state: { file: join(folder, 'state') }, services: { shop: service } }),
  )
  const runtime: Runtime = await startRuntime({
    config: loadConfig([file], {}).config,
    configFiles: [file],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
  })
  whole.teardown(async () => {
    await runtime.stop('the test is over', 0)
    await pair.stop()
    rmSync(folder, { recursive: true })
  })
  const toAdmin = { PONTOON_ADMIN: runtime.adminAddress }
  const view = async (): Promise<SyncView | undefined> => {
    const answer = await fetch(`${runtime.adminAddress}/v1/services/shop`)
    const { sync }: { sync?: SyncView } = JSON.parse(await answer.text())
    return sync
  }
  const metrics = async (): Promise<string> =>
    (await fetch(`${runtime.adminAddress}/metrics`)).text()
  const stateIs = (state: string) => async (): Promise<boolean> =>
    (await view())?.health[0]?.state === state

  await whole.test('shown once there is sync', async (t) => {
    t.equal(await view(), undefined)
    const shift = async (reads: number): Promise<string> =>
      (await pontoon(['shift', 'shop', '--reads', `${reads}`], toAdmin)).out
    t.match(await shift(5), /reads on the target: 0% → 5%[^]*Warning: 5% of .* \(sync: absent\)/)
    t.notMatch(await shift(0), 'Warning')
    t.notMatch(await metrics(), /pontoon_sync_up\{/)
    t.equal((await pontoon(['sync', 'shop', '--config', file], {})).exit, 0)
    await until(
      async () => {
        const sync = await view()
        return sync?.health[0]?.state === 'streaming' && sync.health[0].lagMs !== null
      },
      'it streams',
      20_000,
    )
    const sync = await view()
    t.match(sync, { direction: 'forward', rollbackReady: false, drift: [] })
    const conditions = Object.fromEntries(
      (sync?.conditions ?? []).map(({ name, ok }) => [name, ok]),
    )
    t.match(conditions, { stream: true, schema: true, identity: true, slot: true, fence: false })
    const text = await metrics()
    t.match(text, 'pontoon_sync_up{service="shop",direction="forward"} 1')
    t.match(text, /pontoon_sync_lag_bytes\{service="shop",direction="forward"\} \d/)
    t.match(text, /pontoon_sync_lag_seconds\{service="shop",direction="forward"\} \d/)
    t.match(text, 'pontoon_sync_errors_total{service="shop",direction="forward",kind="apply"} 0')
    t.match(
      text,
      /slot_retained_bytes\{service="shop",side="source",slot="pontoon_shop_forward"\} \d/,
    )
    t.match(text, 'pontoon_rollback_ready{service="shop"} 0')
    t.notMatch(await shift(5), 'Warning', 'it is kept like the source')
    const status = await pontoon(['status', 'shop'], toAdmin)
    t.match(status.out, /sync +forward: streaming/)
    t.match(status.out, /fence +NO +application writers may write/)
    t.match(status.out, /WAL kept +pontoon_shop_forward on the source/)
  })

  await whole.test('its connections are known as ours', async (t) => {
    const held = runtime.services.get('shop')?.backends
    for (const side of ['source', 'target'] as const) {
      const rows = await shop.query(
        side,
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'pontoon sync shop'
         AND usename = 'pontoon_control'`,
      )
      t.ok(rows.length > 0 && rows.every(({ pid }) => held?.[side].pids().includes(Number(pid))))
    }
  })

  await whole.test(
    'a side that is down is told, and what its slot keeps; then it goes on',
    async (t) => {
      await pair.target.shutdown()
      await until(stateIs('unreachable'), 'it is told', 20_000)
      const text = await metrics()
      t.match(text, 'pontoon_sync_up{service="shop",direction="forward"} 0')
      t.match(
        text,
        /slot_retained_bytes\{service="shop",side="source",slot="pontoon_shop_forward"\} \d/,
      )
      t.equal((await fetch(`${runtime.adminAddress}/health/ready`)).status, 200)
      await pair.target.restart()
      await until(stateIs('streaming'), 'it goes on', 20_000)
    },
  )

  await whole.test('a walsender that is cut off comes back by itself', async (t) => {
    await shop.query('source', 'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots')
    await shop.query('source', 'INSERT INTO item VALUES (1)')
    await until(
      async () => (await shop.query('target', 'SELECT FROM item')).length === 1,
      'the row arrives',
      20_000,
    )
    await until(stateIs('streaming'), 'and it streams', 10_000)
    t.pass()
  })
})

/**
 * A rollback is ready after a cutover and only while every condition holds (real servers): each
 * that is broken is shown with what to do, and holds again once that is done.
 */
import tap from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime } from '../../src/control/runtime.ts'
import type { SyncView } from '../../src/migration/pg/sync/supervisor.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { pontoon } from '../cli/capture.ts'
import { runSwitch } from '../support/switch-operation.ts'
import { SwitchPair } from '../support/switch-pair.ts'
import { until } from '../support/until.ts'
import { subscribe } from './event-stream.ts'

tap.setTimeout(280_000)

const allNames = [
  'stream lag slot marks parted fence bypass schema tables publication identity sequences unlogged',
  'truncate missed large-objects transactions gate',
].flatMap((line) => line.split(' '))

await tap.test('conditions of a rollback', async (whole) => {
  const pair = await SwitchPair.start({ source: 17, target: 17 })
  whole.teardown(() => pair.stop())
  const runtime = await startRuntime({
    config: loadConfig([pair.configFile], {}).config,
    configFiles: [pair.configFile],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
  })
  whole.teardown(() => runtime.stop('the test is over', 0))
  const view = async (): Promise<SyncView | undefined> => {
    const answer = await fetch(`${pair.adminUrl}/v1/services/orders`)
    const { sync }: { sync?: SyncView } = JSON.parse(await answer.text())
    return sync
  }
  const metrics = async (): Promise<string> => (await fetch(`${pair.adminUrl}/metrics`)).text()
  const unmet = async (): Promise<Readonly<Record<string, string>>> =>
    Object.fromEntries(
      ((await view())?.conditions ?? [])
        .filter(({ ok }) => !ok)
        .map(({ name, text }) => [name, text]),
    )
  const ready = (): Promise<void> =>
    until(async () => (await view())?.rollbackReady === true, 'a rollback is ready', 20_000)
  /** Until these do not hold, each with a text like that; the lag grows while nothing runs. */
  const broken = async (expected: Readonly<Record<string, RegExp>>): Promise<void> => {
    const wanted = Object.keys(expected).toSorted().join()
    let found: Readonly<Record<string, string>> = {}
    await until(
      async () => {
        found = await unmet()
        const names = Object.keys(found).filter((name) => name !== 'lag')
        return names.toSorted().join() === wanted
      },
      `these do not hold: ${wanted}`,
      20_000,
    ).catch((error: unknown) => {
      throw new Error(JSON.stringify(found), { cause: error })
    })
    for (const [name, text] of Object.entries(expected)) whole.match(found[name], text, name)
    whole.match(await metrics(), 'pontoon_rollback_ready{service="orders"} 0')
  }
  const onTarget = (sql: string): Promise<unknown> => pair.target.query(sql, 'shop')
  /** Which is fenced. */
  const onSource = (sql: string): Promise<unknown> =>
    pair.source.query(`SET transaction_read_only = off; ${sql}`, 'shop')

  await whole.test('before a cutover everything holds, and no rollback is ready', async (t) => {
    await until(
      async () => {
        const sync = await view()
        return sync !== undefined && sync.conditions.every(({ ok }) => ok)
      },
      'every condition holds',
      20_000,
    )
    const sync = await view()
    t.same(
      sync?.conditions.map(({ name }) => name),
      allNames,
    )
    const text = await metrics()
    t.match(text, 'pontoon_rollback_ready{service="orders"} 0')
    t.match(text, 'pontoon_fence_active{service="orders",side="target"} 1')
    t.match(text, 'pontoon_fence_active{service="orders",side="source"} 0')
  })

  await whole.test('after it a rollback is ready', async (t) => {
    // Of a way back from a target that was lost, and set up anew since: the beat of this one is a
    // row of the same key.
    await onSource(`INSERT INTO pontoon.heartbeat_reverse VALUES ('beat', 1, now())`)
    const { until: nextOf } = await subscribe(t, pair.adminUrl)
    const done = await runSwitch(pair.adminUrl, 'cutover')
    t.equal(done.state, 'done', done.report?.reason ?? '')
    const told: unknown[] = []
    for (let one = await nextOf('operation'); one.data['state'] === 'running';) {
      told.push(one.data['step'])
      one = await nextOf('operation')
    }
    t.same(
      told,
      done.steps.map(({ step }) => step),
      'each step is told once',
    )
    await ready()
    const text = await metrics()
    t.match(text, 'pontoon_rollback_ready{service="orders"} 1')
    t.match(text, 'pontoon_fence_active{service="orders",side="source"} 1')
    t.match(text, 'pontoon_fence_active{service="orders",side="target"} 0')
  })

  await whole.test('what is broken is told, and what to do about it', async (t) => {
    const [row] = await pair.source.query('SELECT subname FROM pg_subscription', 'shop')
    const subscription = `ALTER SUBSCRIPTION ${String(row?.['subname'])}`
    await onTarget(`SELECT lo_create(77); CREATE SEQUENCE fresh;
      CREATE TABLE keyless (id int); CREATE UNLOGGED TABLE quick (id int PRIMARY KEY);
      UPDATE pontoon.mark SET epoch = epoch + 100`)
    await onSource(`${subscription} DISABLE; GRANT CONNECT ON DATABASE shop TO app`)
    await broken({
      stream: /reverse sync does not run: .*To do: .*pontoon sync/,
      marks: /the target names the target since epoch 1\d\d/,
      fence: /may connect to the source in spite of its fence: app.*REVOKE CONNECT/,
      'large-objects': /lo_unlink/,
      identity: /public\.keyless.*REPLICA IDENTITY FULL/,
      sequences: /public\.fresh.*Make them there/,
      tables: /public\.keyless is not synced.*public\.quick is unlogged.*SET LOGGED/,
      unlogged: /public\.quick/,
    })
    const status = await pontoon(['status', 'orders'], { PONTOON_ADMIN: pair.adminUrl })
    t.match(status.out, /rollback ready +no/)
    t.match(status.out, /large-objects +NO +.*lo_unlink/)
    await onTarget(`SELECT lo_unlink(77); DROP TABLE keyless, quick; DROP SEQUENCE fresh;
      UPDATE pontoon.mark SET epoch = epoch - 100`)
    await onSource(`${subscription} ENABLE; REVOKE CONNECT ON DATABASE shop FROM app`)
    await ready()
  })
})

/**
 * Two services whose databases are on the same servers. Slots, roles, workers, and the transactions
 * that a slot waits for, are those of the whole cluster: what one service does must not reach the
 * other.
 */
import { Client } from 'pg'
import tap, { type Test } from 'tap'
import { controlQuery } from '../../../support/control-query.ts'
import type { Writers } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import {
  databases,
  serviceNames,
  TwoServices,
  type ServiceName,
} from '../../../support/two-services.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

type Kind = 'cutover' | 'rollback'

const waitingSql = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'transactionid'"

for (const major of [15, 18] as const)
  await tap.test(`two services on one pair of servers, ${major} to ${major}`, async (whole) => {
    const both = await TwoServices.start(major)
    whole.teardown(() => both.stop())
    let writers = await startWriters(both)

    await whole.test('schema, copy and sync of both', async (t) => {
      await both.bringSchema()
      await Promise.all(serviceNames.map((name) => both.copy(name)))
      for (const name of serviceNames)
        t.match((await both.run('sync', name)).out, /forward: streaming/, name)
    })

    await whole.test('both at the same time, one alone, and in opposite directions', async (t) => {
      await move(t, both, writers, { orders: 'cutover', billing: 'cutover' })
      const sessions = await sessionsOf(both, 'billing')
      await move(t, both, writers, { orders: 'rollback' })
      t.same(await sessionsOf(both, 'billing'), sessions, 'the other has kept its sessions')
      await status(t, both, { orders: 'source', billing: 'target' })
      const waiting = major === 15 ? waitForBoth(both) : Promise.resolve()
      await move(t, both, writers, { orders: 'cutover', billing: 'rollback' })
      await waiting
      await status(t, both, { orders: 'target', billing: 'source' })
      await move(t, both, writers, { orders: 'rollback' })
      for (const name of serviceNames) {
        const report = await writers[name].stop({ checkUrl: both.source.url(databases[name]) })
        t.match(report, { lost: [], duplicated: [], unexpected: [], errors: [] }, name)
        t.equal((await both.run('verify', name)).exit, 0, name)
      }
    })

    await whole.test('the sync of the one taken away and made anew', async (t) => {
      await both.run('sync', 'orders', '--drop', '--yes')
      const slots = await both.source.query<{ name: string }>(
        'SELECT slot_name AS name FROM pg_replication_slots WHERE active',
      )
      t.match(slots, [{ name: /billing/ }], 'that of the other goes on')
      t.match((await both.run('sync', 'billing')).out, /forward: streaming/)
      await both.copy('orders', '--restart')
    })

    await whole.test('the source lost to the one only', async (t) => {
      writers = await startWriters(both)
      await both.source.kill9()
      const body = { primaryLost: true }
      const forced = await runSwitch(both.adminUrl, 'cutover', body, 60_000, 'billing')
      t.equal(forced.state, 'done', forced.report?.reason ?? '')
      await writers.billing.untilAcknowledged(10)
      await both.source.restart()
      const parted = 'SELECT parted FROM pontoon.mark'
      await until(async () => {
        const [mark] = await controlQuery(both.source, parted, databases.billing)
        return mark?.['parted'] === 'source'
      }, 'the source is told of it')
      await writers.orders.untilAcknowledged(10)
      await move(t, both, writers, { orders: 'cutover' })
      for (const name of serviceNames) {
        const report = await writers[name].stop({ checkUrl: both.target.url(databases[name]) })
        t.match(report, { duplicated: [], unexpected: [] }, name)
        if (name === 'orders') t.same(report.lost, [])
      }
    })
  })

async function startWriters(both: TwoServices): Promise<Record<ServiceName, Writers>> {
  const made = {
    orders: await both.startWriters('orders'),
    billing: await both.startWriters('billing'),
  }
  for (const name of serviceNames) await made[name].untilAcknowledged(20)
  return made
}

/** All at the same time; then clients of both go on. */
async function move(
  t: Test,
  { adminUrl }: TwoServices,
  writers: Record<ServiceName, Writers>,
  kinds: Partial<Record<ServiceName, Kind>>,
): Promise<void> {
  await Promise.all(
    Object.entries(kinds).map(async ([name, kind]) => {
      const { state, report } = await runSwitch(adminUrl, kind, {}, 120_000, name)
      t.equal(state, 'done', `${kind} of ${name}: ${report?.reason ?? ''}`)
      t.comment(`${kind} of ${name}: ${Math.round(report?.pauseMs ?? 0)} ms`)
    }),
  )
  for (const name of serviceNames) await writers[name].untilAcknowledged(10)
}

async function status(
  t: Test,
  both: TwoServices,
  primaries: Record<ServiceName, 'source' | 'target'>,
): Promise<void> {
  for (const name of serviceNames) {
    const { json } = await both.run('status', name, '--json')
    t.match(json, { name, route: { primary: primaries[name] } })
  }
}

/** Backends of the application on the target, in the database of that service. */
function sessionsOf({ target }: TwoServices, service: ServiceName): Promise<unknown[]> {
  return target.query(
    `SELECT pid FROM pg_stat_activity
     WHERE usename = 'app' AND datname = '${databases[service]}' ORDER BY 1`,
  )
}

/**
 * Opens a transaction on both servers when the next switch makes its way back, and ends them once a
 * slot waits for each: two that are made at the same time must not wait for each other.
 */
function waitForBoth(both: TwoServices): Promise<void> {
  return new Promise((resolve, reject) => {
    both.before = async (step) => {
      if (step !== 'reverse') return
      both.before = () => undefined
      const holders = await Promise.all(
        [both.source, both.target].map((server) => hold(server.url())),
      )
      const release = async (): Promise<void> => {
        for (const server of [both.source, both.target])
          await until(
            async () => (await server.query(waitingSql)).length > 0,
            'a slot waits for the transaction',
          )
        await Promise.all(holders.map((holder) => holder.end()))
      }
      release().then(resolve, reject)
    }
  })
}

async function hold(url: string): Promise<Client> {
  const client = new Client(url)
  await client.connect()
  await client.query('BEGIN; SELECT pg_current_xact_id()')
  return client
}

/** Subscriptions that are not Pontoon's: their workers pass every fence, and what they bring stays. */
import { Client } from 'pg'
import tap from 'tap'
import { forced, startForcedSwitches } from '../../../support/forced-switches.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a source that receives changes from elsewhere', async (t) => {
  const { pair } = await startForcedSwitches(t)
  const { source, target } = pair
  await source.query('ALTER SYSTEM SET max_logical_replication_workers = 0')
  await source.restart()
  t.match(await runSwitch(pair.adminUrl, 'cutover'), {
    state: 'refused',
    report: { reason: /max_logical_replication_workers of the source is 0 and has to be 1/ },
  })
  await source.query('ALTER SYSTEM RESET max_logical_replication_workers')
  await source.restart()
  await source.query('CREATE DATABASE feed')
  await source.query(
    `CREATE TABLE accounts (id int PRIMARY KEY, balance int); CREATE PUBLICATION feed FOR TABLE accounts`,
    'feed',
  )
  await source.query("SELECT pg_create_logical_replication_slot('feed', 'pgoutput')", 'feed')
  const way = `host=127.0.0.1 port=${source.port} dbname=feed user=postgres password=${source.password}`
  await source.query(
    `CREATE SUBSCRIPTION feed CONNECTION '${way}' PUBLICATION feed
     WITH (create_slot = false, slot_name = feed, copy_data = false)`,
    'shop',
  )
  await source.query('INSERT INTO accounts VALUES (5000, 1)', 'feed')
  const arrived = 'SELECT id FROM accounts WHERE id = 5000'
  await until(async () => (await source.query(arrived, 'shop')).length === 1, 'it has arrived')
  t.match(await runSwitch(pair.adminUrl, 'cutover'), {
    state: 'refused',
    report: { reason: /subscriptions on the source .*: feed; .*DISABLE/ },
  })
  t.same(await target.query(arrived, 'shop'), [], 'none of it goes on to the target')
  await source.query('ALTER SUBSCRIPTION feed DISABLE', 'shop')
  const done = await runSwitch(pair.adminUrl, 'cutover')
  t.equal(done.state, 'done', done.report?.reason ?? '')

  await t.test('and has one of the same name in another database', async (again) => {
    await source.query("SELECT pg_create_logical_replication_slot('namesake', 'pgoutput')", 'feed')
    await source.query('CREATE DATABASE namesake')
    await source.query('CREATE TABLE accounts (id int PRIMARY KEY, balance int)', 'namesake')
    await source.query(
      `CREATE SUBSCRIPTION pontoon_orders_reverse CONNECTION '${way}' PUBLICATION feed
       WITH (create_slot = false, slot_name = namesake, copy_data = false)`,
      'namesake',
    )
    const holder = new Client(source.url('namesake'))
    await holder.connect()
    await holder.query('BEGIN; LOCK TABLE accounts')
    await source.query('INSERT INTO accounts VALUES (5001, 1)', 'feed')
    const blocked = "SELECT FROM pg_locks WHERE locktype = 'relation' AND NOT granted"
    await until(async () => (await source.query(blocked)).length > 0, 'its worker waits')
    await target.kill9()
    const lost = await forced(pair, 'rollback')
    again.equal(lost.state, 'done', lost.report?.reason ?? '')
    await holder.end()
  })
})

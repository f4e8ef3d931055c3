/**
 * What an operator is told to do by hand on the side that receives, where the sync of the other
 * direction is there as well (both servers 16 or newer) and would carry it back.
 */
import tap, { type Test } from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { accountsCount } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const forward = 'pontoon_orders_forward'
const counted = 'SELECT count(*)::int AS count FROM accounts'

/** What was written there before has come by the sync of that direction, or never will. */
async function untilCarried(
  operated: OperatedPair,
  direction: 'forward' | 'reverse',
): Promise<void> {
  const [here, there] =
    direction === 'forward' ? (['source', 'target'] as const) : (['target', 'source'] as const)
  const name = `by hand ${Math.random()}`
  const table = `pontoon.heartbeat_${direction}`
  await operated.onSide(here, `INSERT INTO ${table} (name, value) VALUES ('${name}', 0)`)
  const found = `SELECT FROM ${table} WHERE name = '${name}'`
  await until(async () => (await operated.pair[there].query(found, 'shop')).length === 1, name)
}

/** From a text, or else what it makes people do. */
function sqlOf(text: string, otherwise: string): string {
  const [, sql] = /: (BEGIN READ WRITE; .*COMMIT;)/.exec(text) ?? []
  return sql ?? `BEGIN READ WRITE; ${otherwise}; COMMIT`
}

/** With its slot. */
async function loseForward(operated: OperatedPair): Promise<void> {
  await operated.loseSubscription('target', forward)
  const dropped = (): Promise<boolean> =>
    operated.pair.source.query(`SELECT pg_drop_replication_slot('${forward}')`, 'shop').then(
      () => true,
      () => false,
    )
  await until(dropped, 'its slot is dropped')
}

/** No sync carries it: as somebody has left it there before there was any. */
function unseen(sql: string): string {
  return `BEGIN READ WRITE; SELECT pg_replication_origin_create('test');
    SELECT pg_replication_origin_session_setup('test'); ${sql}; COMMIT`
}

/** Makes the way back, as a rehearsal does. */
async function arm(t: Test, operated: OperatedPair): Promise<void> {
  const { exit, out, err } = await operated.ask('cutover', '--dry-run')
  t.equal(exit, 0, `the way back is armed: ${out}${err}`)
}

await tap.test('tables that are to be emptied, 17 and 18', async (t) => {
  const operated = await OperatedPair.start(t, { source: 17, target: 18 })
  const { source, target } = operated.pair
  for (const isEnabled of [true, false]) {
    await arm(t, operated)
    await loseForward(operated)
    const reverse = 'ALTER SUBSCRIPTION pontoon_orders_reverse'
    if (!isEnabled) await operated.onSide('source', `${reverse} DISABLE`)
    const refused = await operated.run('sync')
    t.match(refused, { exit: 3, out: /empty/ })
    await target.query(sqlOf(refused.out, 'TRUNCATE accounts'), 'shop')
    t.match(await target.query(counted, 'shop'), [{ count: 0 }])
    if (!isEnabled) await operated.onSide('source', `${reverse} ENABLE`)
    await untilCarried(operated, 'reverse')
    t.match(await source.query(counted, 'shop'), [{ count: accountsCount }], 'the source is whole')
    t.match(await operated.run('sync'), { exit: 0 })
    const isCopied = async (): Promise<boolean> =>
      (await target.query(counted, 'shop'))[0]?.['count'] === accountsCount
    await until(isCopied, 'the rows are copied again')
    // That of the heartbeat as well, without which no switch is made.
    const unready = "SELECT FROM pg_subscription_rel WHERE srsubstate <> 'r'"
    await until(async () => (await target.query(unready, 'shop')).length === 0, 'all are synced')
    await until(async () => (await operated.run('sync', '--once')).exit === 0, 'sync runs')
  }

  await arm(t, operated)
  await loseForward(operated)
  t.match((await operated.copy()).stderr, /way back is taken away[^]*Empty them, or use --restart/)
  await target.query('BEGIN READ WRITE; TRUNCATE accounts; COMMIT', 'shop')
  t.same(await operated.subscriptionsOf('source'), [], 'nothing carries what a copy says')
  t.match((await operated.copy()).stdout, /follows the source from here/)
  t.match(await source.query(counted, 'shop'), [{ count: accountsCount }])
})

await tap.test('a row that is in the way, 18 and 17', async (t) => {
  const operated = await OperatedPair.start(t, { source: 18, target: 17 })
  const { source, target } = operated.pair
  // Only there are the words of an error.
  for (const server of [source, target]) {
    await server.query('ALTER SYSTEM SET logging_collector = on')
    await server.restart()
  }
  t.match(await operated.patiently('cutover'), { exit: 0 })
  t.match(await operated.patiently('rollback'), { exit: 0 }, 'both directions are there')
  for (const [direction, here, there] of [
    ['forward', 'source', 'target'],
    ['reverse', 'target', 'source'],
  ] as const) {
    if (direction === 'reverse') t.match(await operated.patiently('cutover'), { exit: 0 })
    const id = direction === 'forward' ? 5_001 : 5_002
    await operated.pair[there].query(unseen(`INSERT INTO accounts VALUES (${id}, 1)`), 'shop')
    await operated.application(`INSERT INTO accounts VALUES (${id}, 2)`)
    let out = ''
    const isTold = async (): Promise<boolean> => {
      ;({ out } = await operated.run('sync', '--once'))
      return /somebody wrote there/.test(out)
    }
    await until(isTold, 'the row in the way is told')
    const row = `DELETE FROM accounts WHERE id = ${id}`
    await operated.pair[there].query(sqlOf(out, row).replace('DELETE …', row), 'shop')
    await untilCarried(operated, direction === 'forward' ? 'reverse' : 'forward')
    const found = `SELECT balance FROM accounts WHERE id = ${id}`
    t.match(
      await operated.pair[here].query(found, 'shop'),
      [{ balance: 2 }],
      `${direction}: it is there`,
    )
    const hasCome = async (): Promise<boolean> =>
      (await operated.pair[there].query(found, 'shop'))[0]?.['balance'] === 2
    await until(hasCome, `${direction}: it has come`)
  }
})

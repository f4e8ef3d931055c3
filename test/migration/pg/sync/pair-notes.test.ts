/** What the target is told of tables that belong together, by whoever looks at them, and at what moment. */
import tap from 'tap'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import { readPairing } from '../../../../src/migration/pg/table-pairs.ts'
import { readTables } from '../../../../src/migration/pg/tables.ts'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(200_000)

const tables = `SET ROLE app; CREATE TABLE one (id int PRIMARY KEY, v text);
  CREATE TABLE two (id int PRIMARY KEY, v text); RESET ROLE`
const mixed = /public\.one has a name that has meant another table/

await tap.test('notes of tables that belong together', async (whole) => {
  const operated = await OperatedPair.start(whole, { source: 17, target: 15 })
  const { source, target, context } = operated.pair
  const isNoted = async (table: string): Promise<boolean> => {
    const sql = `SELECT FROM pontoon.table_pair WHERE table_name = '${table}'`
    return (await target.query(sql, 'shop')).length > 0
  }
  for (const side of ['source', 'target'] as const) await operated.onSide(side, tables)
  whole.match(await operated.run('sync'), { exit: 0 })
  await operated.application("INSERT INTO one VALUES (1, 'one'); INSERT INTO two VALUES (1, 'two')")
  await operated.told(/tables +yes/)

  await whole.test('a table that lost its partner gets no other one', async (t) => {
    await source.query('ALTER TABLE one RENAME TO old', 'shop')
    await operated.onSide(
      'target',
      'SET ROLE app; CREATE TABLE old (id int PRIMARY KEY, v text); RESET ROLE',
    )
    await until(() => isNoted('old'), 'what has come is noted')
    await source.query('ALTER TABLE two RENAME TO one', 'shop')
    await operated.told(mixed)
    for (let tries = 0; tries < 2; tries += 1) {
      await operated.run('sync')
      t.match(await operated.ask('cutover'), { exit: 3, out: mixed }, 'it has the rows of old')
    }
  })

  await whole.test('by two at once', async (t) => {
    const login = { purpose: 'control', task: 'test' } as const
    const reader = await connectAs(context, { ...login, side: 'source' })
    const [first, second] = [
      await connectAs(context, { ...login, side: 'target' }),
      await connectAs(context, { ...login, side: 'target' }),
    ]
    t.teardown(() => [reader, first, second].forEach((client) => client.close()))
    await operated.onSide('target', 'DELETE FROM pontoon.table_pair')
    const sides = { sender: await readTables(reader, []), receiver: await readTables(first, []) }
    const { noteSql } = await readPairing(first, 'forward', sides)
    t.not(noteSql, null)
    await first.run(`BEGIN; ${noteSql}`)
    const other = second.run(noteSql ?? '').then(
      () => 'noted',
      (error: unknown) => String(error),
    )
    const waits = `SELECT FROM pg_stat_activity WHERE pid = ${second.pid} AND wait_event_type = 'Lock'`
    await until(async () => (await target.query(waits, 'shop')).length === 1, 'the other one waits')
    await first.run('COMMIT')
    t.equal(await other, 'noted')
    const twice = 'SELECT FROM pontoon.table_pair GROUP BY target_table HAVING count(*) > 1'
    t.same(await target.query(twice, 'shop'), [])
  })

  await whole.test('that the target refuses', async (t) => {
    const refusal = "ADD CONSTRAINT no CHECK (table_name <> 'accounts') NOT VALID"
    await operated.onSide('target', `ALTER TABLE pontoon.table_pair ${refusal}`)
    for (const side of ['target', 'source'] as const)
      await operated.onSide(side, 'ALTER TABLE accounts ADD note text')
    await operated.told(/tables +NO .*table_pair cannot be written on the target.*constraint/)
    const out = await operated.told(/stream +yes/)
    t.match(out, /schema +yes/, 'all else is known')
    await operated.onSide('target', 'ALTER TABLE pontoon.table_pair DROP CONSTRAINT no')
    const noted = `SELECT FROM pontoon.table_pair
      WHERE table_name = 'accounts' AND columns @> '[["note"]]'`
    const isKnown = async (): Promise<boolean> => (await target.query(noted, 'shop')).length === 1
    await until(isKnown, 'it is noted as soon as that may be')
  })
})

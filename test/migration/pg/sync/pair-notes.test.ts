/** What the target is told of tables that belong together, by whoever looks at them, and at what moment. */
import tap from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(200_000)

const tables = `SET ROLE app; CREATE TABLE one (id int PRIMARY KEY, v text);
  CREATE TABLE two (id int PRIMARY KEY, v text); RESET ROLE`
const mixed = /public\.one is not the table that it was/

await tap.test('notes of tables that belong together', async (whole) => {
  const operated = await OperatedPair.start(whole, { source: 17, target: 15 })
  const { source, target } = operated.pair
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
})

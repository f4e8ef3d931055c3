/** Columns that change their names with each other while they are synced, which goes by names. */
import tap from 'tap'
import type { Side } from '../../../../src/shared/side.ts'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const tables = `SET ROLE app; CREATE TABLE one (id int PRIMARY KEY, a text, b text);
  CREATE TABLE part (id int, a text, b text) PARTITION BY LIST (id);
  CREATE TABLE part_1 (gone int, b text, id int PRIMARY KEY, a text); ALTER TABLE part_1 DROP gone;
  ALTER TABLE part ATTACH PARTITION part_1 FOR VALUES IN (1); RESET ROLE`
const swapOf = (table: string): string =>
  `ALTER TABLE ${table} RENAME a TO old; ALTER TABLE ${table} RENAME b TO a; ALTER TABLE ${table} RENAME old TO b`
const swap = swapOf('one')
const mixed = /public\.one has columns \(a, b\).*pontoon verify --repair/
const mixedPart = /public\.part_1 has columns \(a, b\)/

/** The pair of the table, once those are known. */
const columnsOf = (...names: string[]): string =>
  `SELECT FROM pontoon.table_pair p WHERE table_name = 'one'
   AND to_jsonb(p)->'columns' @> '${JSON.stringify(names.map((name) => [name]))}'`

const rows = 'SELECT id, a, b FROM one ORDER BY id'

async function equalRows(operated: OperatedPair): Promise<boolean> {
  const [source, target] = await Promise.all(
    (['source', 'target'] as const).map((side) => operated.pair[side].query(rows, 'shop')),
  )
  return JSON.stringify(source) === JSON.stringify(target)
}

await tap.test('two columns that change their names, 17 and 15', async (whole) => {
  const operated = await OperatedPair.start(whole, { source: 17, target: 15 })
  const { source, target } = operated.pair
  const onBoth = async (first: Side, sql: string): Promise<void> => {
    await operated.onSide(first, sql)
    await operated.onSide(first === 'source' ? 'target' : 'source', sql)
  }
  const isReady = async (): Promise<void> => {
    await operated.told(/tables +yes/)
    const { exit, out } = await operated.ask('cutover', '--dry-run')
    whole.equal(exit, 0, out)
  }
  const verified = async (...args: string[]): Promise<void> => {
    const { exit, out, err } = await operated.run('verify', ...args)
    whole.equal(exit, 0, out + err)
  }
  await onBoth('target', tables)
  const sync = await operated.run('sync')
  whole.equal(sync.exit, 0, sync.out + sync.err)
  whole.match(await operated.run('sync', '--dry-run'), { out: /Nothing would be done/ })
  await operated.application(
    "INSERT INTO one VALUES (1, 'a', 'b'); INSERT INTO part VALUES (1, 'a', 'b')",
  )
  await isReady()

  await whole.test('on the source alone, then on both', async (t) => {
    await source.query(swap, 'shop')
    t.match(await operated.told(/tables +NO/), mixed)
    const refused = await operated.ask('cutover')
    t.match(refused, { exit: 3, out: mixed }, 'before anything has gone wrong')
    await operated.application("INSERT INTO one (id, a, b) VALUES (2, 'b', 'a')")
    await until(
      async () => (await target.query('SELECT FROM one', 'shop')).length === 2,
      'it has come into the wrong columns',
    )
    await operated.onSide('target', swap)
    t.match(await operated.ask('cutover'), { exit: 3, out: mixed }, 'also once both have swapped')
    await operated.run('sync')
    t.match(await operated.ask('cutover'), { exit: 3, out: mixed }, 'whatever sync is told')
    t.notOk(await equalRows(operated))
    t.equal((await operated.run('verify')).exit, 1)
    t.match(await operated.ask('cutover'), { exit: 3 }, 'and a verification that finds them unlike')
    await verified('--repair')
    t.ok(await equalRows(operated))
    await isReady()
  })

  await whole.test('on the target alone, in a partition whose numbers are others', async (t) => {
    await operated.onSide('target', swapOf('part'))
    t.match(await operated.told(/tables +NO/), mixedPart)
    t.match(await operated.ask('cutover'), { exit: 3, out: mixedPart })
    t.equal((await operated.run('verify')).exit, 1)
    await operated.onSide('target', swapOf('part'))
    await verified()
    await isReady()
  })

  await whole.test('new names on both sides are nothing', async () => {
    await onBoth('target', 'ALTER TABLE one RENAME a TO c')
    await isReady()
    await operated.run('sync')
    await onBoth('source', 'ALTER TABLE one RENAME c TO a')
    await isReady()
    await operated.run('sync')
  })

  await whole.test('those that have come since are known without another command', async (t) => {
    await onBoth('target', 'ALTER TABLE one ADD d int, ADD e int')
    await until(
      async () => (await target.query(columnsOf('d', 'e'), 'shop')).length === 1,
      'both are known',
    )
    await source.query(swap.replaceAll(/\ba\b/g, 'd').replaceAll(/\bb\b/g, 'e'), 'shop')
    t.match(await operated.ask('cutover'), { exit: 3, out: /public\.one has columns \(d, e\)/ })
    await verified()
    await isReady()
  })

  await whole.test('made anew on one side, then on both', async (t) => {
    const anew = 'ALTER TABLE one DROP a; ALTER TABLE one ADD a text; ALTER TABLE one OWNER TO app'
    const only = /public\.one has columns \(a\)/
    await operated.onSide('target', anew)
    t.match(await operated.ask('cutover'), { exit: 3, out: only }, 'its values are gone there')
    await operated.onSide('source', anew)
    t.match(await operated.ask('cutover'), { exit: 3, out: only })
    await verified()
    await isReady()
    await onBoth('target', 'ALTER TABLE one DROP a')
    t.match(await operated.run('sync'), { exit: 0 })
    await onBoth('target', 'ALTER TABLE one ADD a text')
    await isReady()
    await operated.run('sync')
  })

  await whole.test('pairs of an earlier Pontoon have no columns', async (t) => {
    await operated.onSide('target', 'ALTER TABLE pontoon.table_pair DROP COLUMN columns')
    await isReady()
    await until(
      async () => (await target.query(columnsOf('id', 'a', 'b'), 'shop')).length === 1,
      'they are known again',
    )
    await source.query(swap, 'shop')
    t.match(await operated.ask('cutover'), { exit: 3, out: mixed })
    await verified('--repair')
    await isReady()
  })

  await whole.test('taken back after it was told', async (t) => {
    await source.query(swap, 'shop')
    await operated.told(mixed)
    await operated.application("INSERT INTO one (id, a, b) VALUES (9, 'b', 'a')")
    const arrived = 'SELECT FROM one WHERE id = 9'
    await until(async () => (await target.query(arrived, 'shop')).length === 1, 'it has come')
    await source.query(swap, 'shop')
    t.notOk(await equalRows(operated))
    t.match(await operated.ask('cutover'), { exit: 3, out: mixed }, 'the row is still wrong')
    await verified('--repair')
    await isReady()
  })

  await whole.test('on the way back as well', async (t) => {
    t.match(await operated.patiently('cutover'), { exit: 0 })
    await target.query(swap, 'shop')
    await operated.onSide('source', swap)
    t.match(await operated.ask('rollback'), { exit: 3, out: mixed })
    await verified()
    await operated.told(/tables +yes/)
    t.match(await operated.patiently('rollback'), { exit: 0 })
  })
})

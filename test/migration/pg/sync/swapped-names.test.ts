/** Tables that change their names with each other while they are synced, which goes by names. */
import tap from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const tables = `SET ROLE app; CREATE TABLE one (id int PRIMARY KEY, v text);
  CREATE TABLE two (id int PRIMARY KEY, v text); RESET ROLE`
const swap =
  'ALTER TABLE one RENAME TO old; ALTER TABLE two RENAME TO one; ALTER TABLE old RENAME TO two'
const mixed = /public\.one has a name that has meant another table.*pontoon verify --repair/

const rows = (name: string): string => `SELECT id, v FROM ${name} ORDER BY id`

await tap.test('two tables that change their names, 17 and 15', async (t) => {
  const operated = await OperatedPair.start(t, { source: 17, target: 15 })
  const { source, target } = operated.pair
  for (const side of ['source', 'target'] as const) await operated.onSide(side, tables)
  const sync = await operated.run('sync')
  t.equal(sync.exit, 0, sync.out + sync.err)
  t.match(await operated.run('sync', '--dry-run'), { out: /Nothing would be done/ })
  await operated.application("INSERT INTO one VALUES (1, 'one'); INSERT INTO two VALUES (1, 'two')")
  await operated.told(/tables +yes/)

  await source.query(swap, 'shop')
  t.match(await operated.told(/tables +NO/), mixed)
  const refused = await operated.ask('cutover')
  t.match(refused, { exit: 3, out: mixed }, 'before anything has gone wrong')
  await operated.application("INSERT INTO one VALUES (2, 'two')")
  await until(
    async () => (await target.query(rows('one'), 'shop')).length === 2,
    'it has come into the wrong table',
  )
  await operated.onSide('target', swap)
  await operated.application("INSERT INTO one VALUES (3, 'two')")
  t.match(await operated.ask('cutover'), { exit: 3, out: mixed }, 'also once both have swapped')
  await operated.run('sync')
  t.match(await operated.ask('cutover'), { exit: 3, out: mixed }, 'whatever sync is told')
  t.equal((await operated.run('verify')).exit, 1)
  t.match(await operated.ask('cutover'), { exit: 3 }, 'and a verification that finds them unlike')

  const verify = await operated.run('verify', '--repair')
  t.equal(verify.exit, 0, verify.out + verify.err)
  for (const name of ['one', 'two'])
    t.same(await target.query(rows(name), 'shop'), await source.query(rows(name), 'shop'))
  const cutover = await operated.patiently('cutover')
  t.equal(cutover.exit, 0, cutover.out + cutover.err)

  await target.query(swap, 'shop')
  await operated.onSide('source', swap)
  t.match(await operated.ask('rollback'), { exit: 3, out: mixed }, 'on the way back as well')
  t.equal((await operated.run('verify')).exit, 0)
  t.match(await operated.patiently('rollback'), { exit: 0 })

  const rename = 'ALTER TABLE one RENAME TO three'
  await operated.onSide('target', rename)
  await source.query(rename, 'shop')
  t.match(await operated.run('sync'), { exit: 0 })
  t.match(await operated.ask('cutover', '--dry-run'), { exit: 0 }, 'a new name alone is nothing')

  const others = swap.replaceAll('one', 'three')
  await source.query(others, 'shop')
  await operated.told(/public\.three has a name that has meant another/)
  await source.query(others, 'shop')
  t.match(await operated.ask('cutover'), { exit: 3 }, 'two that were taken back')

  t.match(await operated.run('sync', '--drop', '--yes'), { exit: 0 })
  await source.query(others, 'shop')
  await operated.onSide('target', `${others}; TRUNCATE accounts, records, three, two`)
  t.match(await operated.run('sync'), { exit: 0 })
  await operated.told(/stream +yes/)
  t.match(await operated.ask('cutover', '--dry-run'), { exit: 0 }, 'nor is what is copied anew')
})

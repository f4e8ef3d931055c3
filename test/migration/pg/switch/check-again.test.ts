/** What a pause makes sure of once more: that nobody has changed tables since they were looked at. */
import { Client } from 'pg'
import tap from 'tap'
import { catalogStamp } from '../../../../src/migration/pg/catalog-stamp.ts'
import { readPrior } from '../../../../src/migration/pg/fence.ts'
import {
  checkAgain,
  checkTables,
  fenceOldSide,
  type PausePlan,
} from '../../../../src/migration/pg/switch/pause.ts'
import { findStreams } from '../../../../src/migration/pg/stream.ts'
import { fenceSpec, openSides } from '../../../../src/migration/pg/switch/switch-sides.ts'
import { readSequences, readTables } from '../../../../src/migration/pg/tables.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'

tap.setTimeout(120_000)

/** Each with what takes it back. */
const changes: Readonly<Record<string, readonly [string, string]>> = {
  'a new table': ['CREATE TABLE late (id int PRIMARY KEY)', 'DROP TABLE late'],
  'a new column': ['ALTER TABLE accounts ADD late int', 'ALTER TABLE accounts DROP late'],
  'a column of another name': [
    'ALTER TABLE accounts RENAME balance TO b',
    'ALTER TABLE accounts RENAME b TO balance',
  ],
  'a new sequence': ['CREATE SEQUENCE late', 'DROP SEQUENCE late'],
  'a sequence of another step': [
    'CREATE SEQUENCE late INCREMENT 5',
    'ALTER SEQUENCE late INCREMENT 1; DROP SEQUENCE late',
  ],
  'another replica identity': [
    'ALTER TABLE accounts REPLICA IDENTITY FULL',
    'ALTER TABLE accounts REPLICA IDENTITY DEFAULT',
  ],
  'a table that is published no more': [
    'ALTER PUBLICATION pontoon_orders_forward DROP TABLE accounts',
    'ALTER PUBLICATION pontoon_orders_forward ADD TABLE accounts',
  ],
}

/** What changes no table for the sync. */
const harmless: Readonly<Record<string, readonly [sql: string, isSeen: boolean]>> = {
  'rows, VACUUM and ANALYZE': ['INSERT INTO accounts VALUES (-1, 0); ANALYZE', false],
  'VACUUM FREEZE': ['VACUUM FREEZE', false],
  'a temporary table': ['CREATE TEMP TABLE mine (id int)', false],
  'values of sequences': ["SELECT setval('public.drawn', 77), nextval('public.drawn')", false],
  'a grant': ['GRANT SELECT ON accounts TO PUBLIC', true],
}

for (const major of [15, 18] as const) {
  await tap.test(`PostgreSQL ${major}`, async (t) => {
    const pair = await SwitchPair.start({ source: major, target: 18 })
    t.teardown(() => pair.stop())
    await pair.source.query('CREATE SEQUENCE drawn', 'shop')
    const sides = await openSides(pair.context, 'source', 'target')
    t.teardown(() => sides.close())
    const { watch, control } = sides.from
    const stream = (await findStreams(sides.to.replication, 'orders', 'forward')).at(-1)
    if (stream === undefined) throw new Error('the pair is synced')
    const fence = fenceSpec(pair.context, 'source')
    const planned = async (): Promise<PausePlan> => ({
      context: pair.context,
      sides,
      fence,
      prior: await readPrior(control, fence),
      stamp: await catalogStamp(watch),
      tables: await readTables(watch),
      sequences: await readSequences(watch),
      stream,
      errors: null,
    })
    const options = { timeoutMs: 60_000, signal: new AbortController().signal }
    const plan = await planned()
    await fenceOldSide(plan, options)
    // The fence, which has ended all others, does not keep it out.
    const admin = new Client({
      connectionString: pair.source.url('shop'),
      options: '-c default_transaction_read_only=off',
    })
    await admin.connect()
    t.teardown(() => admin.end())
    const run = async (sql: string): Promise<unknown> => admin.query(sql)
    await checkTables(plan, options)

    for (const [name, [change, back]] of Object.entries(changes)) {
      const before = await planned()
      await run(change)
      t.not(await catalogStamp(watch), before.stamp, name)
      await t.rejects(checkAgain(before, options), { code: 'MIGRATION_REFUSED' }, name)
      await run(back)
      // Written anew, and yet the same.
      await checkAgain(before, options)
    }
    for (const [name, [change, isSeen]] of Object.entries(harmless)) {
      const before = await planned()
      for (const sql of change.split('; ')) await run(sql)
      t.equal((await catalogStamp(watch)) !== before.stamp, isSeen, name)
      await checkAgain(before, options)
    }
  })
}

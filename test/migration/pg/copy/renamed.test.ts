/** Tables whose names are changed while they are copied. */
import { randomUUID } from 'node:crypto'
import tap from 'tap'
import { copyChunk } from '../../../../src/migration/pg/copy/chunk.ts'
import {
  beginMarks,
  ensureChunkMarks,
  ensureControlSchema,
} from '../../../../src/migration/pg/copy/chunk-marks.ts'
import { planCopy } from '../../../../src/migration/pg/copy/plan.ts'
import { startPair } from '../../../support/migration-pair.ts'

tap.setTimeout(280_000)

await tap.test('two tables that change their names meanwhile', async (t) => {
  const pair = await startPair({ source: 15, target: 15 })
  t.teardown(() => pair.stop())
  const schema = 'CREATE TABLE one (id int PRIMARY KEY); CREATE TABLE two (id int PRIMARY KEY)'
  const db = await pair.database('shop', { schema })
  await db.query('source', 'INSERT INTO one VALUES (1); INSERT INTO two VALUES (2)')
  const [keeper, source, target] = await Promise.all([
    db.connect('source', 'control'),
    db.connect('source', 'control'),
    db.connect('target', 'control'),
  ])
  await ensureControlSchema(target)
  await ensureChunkMarks(target)
  const job = randomUUID()
  await beginMarks(target, job)
  await keeper.run('BEGIN ISOLATION LEVEL REPEATABLE READ')
  const snapshot = (await keeper.value('SELECT pg_export_snapshot()')) ?? ''
  const { tables } = await planCopy({ source, target, exclude: [], jobs: 1 })
  const table = tables.find(({ name }) => name === 'one')
  if (table === undefined) throw new Error('it is planned')
  await db.query(
    'source',
    'ALTER TABLE one RENAME TO old; ALTER TABLE two RENAME TO one; ALTER TABLE old RENAME TO two',
  )
  const work = {
    job,
    snapshot,
    table,
    chunk: 0,
    mayTruncate: false,
    onProgress: () => undefined,
    pace: () => null,
    signal: new AbortController().signal,
  }
  await t.rejects(copyChunk(source, target, work), /public\.one was dropped or renamed/)
  t.same(await db.query('target', 'SELECT id FROM one'), [])
})

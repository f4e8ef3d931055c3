/** Whose target it is: of one copy at a time, and of nobody who would lose what only it has. */
import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap from 'tap'
import {
  assertOwner,
  beginMarks,
  claimChunk,
  ensureChunkMarks,
  ensureControlSchema,
  readChunkMarks,
  takeTarget,
} from '../../../../src/migration/pg/copy/chunk-marks.ts'
import { lockTarget } from '../../../../src/migration/pg/copy/target-lock.ts'
import { subscriptionName } from '../../../../src/migration/pg/names.ts'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import type { SqlClient } from '../../../../src/net/pg/sql-client.ts'
import { signalAll } from '../../../support/child-processes.ts'
import { bankRows, bankSchema } from '../../../support/copy-bank.ts'
import { CopyCommand, hasChunks } from '../../../support/copy-command.ts'
import { startPair } from '../../../support/migration-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const pair = await startPair({ source: 15, target: 15 })
tap.teardown(() => pair.stop())

await tap.test(
  'rows of a target that a forced switch has left go only when asked for',
  async (t) => {
    const db = await pair.database('left', { schema: 'CREATE TABLE thing (id int NOT NULL)' })
    await db.query('source', 'INSERT INTO thing VALUES (1); ALTER TABLE thing ADD PRIMARY KEY (id)')
    const before = new CopyCommand(db.context)
    t.teardown(() => before.remove())
    const first = await before.run()
    if (first.exit !== 0) throw new Error(first.err)
    const name = subscriptionName(db.context.service, 'forward')
    await db.query('target', `ALTER SUBSCRIPTION ${name} DISABLE`)
    await db.query('target', `DROP SUBSCRIPTION ${name}`)
    await db.query(
      'target',
      `INSERT INTO thing VALUES (2);
     INSERT INTO pontoon.mark (epoch, primary_side, parted) VALUES (3, 'source', 'target')`,
    )

    const after = new CopyCommand(db.context)
    t.teardown(() => after.remove())
    const refused = await after.run()
    t.equal(refused.exit, 3)
    t.match(refused.err, /1 tables of the target have rows that only it may have: public\.thing/)
    t.same(await db.query('target', 'SELECT id FROM thing ORDER BY id'), [{ id: 1 }, { id: 2 }])
    const asked = await after.run('--restart')
    if (asked.exit !== 0) throw new Error(asked.err)
    t.same(await db.query('target', 'SELECT id FROM thing'), [{ id: 1 }])
    t.same(await db.query('target', 'SELECT parted FROM pontoon.mark'), [{ parted: null }])
  },
)

await tap.test('a copy that runs has the target for itself', async (t) => {
  const db = await pair.database('alone', { schema: bankSchema })
  await db.query('source', bankRows(30_000))
  const [one, two] = [new CopyCommand(db.context), new CopyCommand(db.context)] as const
  t.teardown(() => Promise.all([one, two].map((command) => command.remove())))
  const slow = ['--rate', '300kB/s', '--chunk-size', '100k']
  const first = await one.start(...slow)
  await until(() => hasChunks(db, first), 'chunks are there', 60_000)
  // It would be over before the others have had their say, on a slow machine.
  signalAll([first.child.pid], 'SIGUSR1')
  const slots =
    "SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'pontoon_alone_forward'"
  const slot = await db.query('source', slots)
  t.equal(slot.length, 1)
  const owner = 'SELECT job FROM pontoon.copy_chunk WHERE chunk = -1'
  const owned = await db.query('target', owner)
  for (const args of [[], ['--restart']]) {
    const refused = await two.run(...args)
    t.equal(refused.exit, 3, refused.out)
    t.match(refused.err, /Another copy into this target runs, .* as pontoon copy, pid \d+ from /)
  }
  t.same(await db.query('source', slots), slot, 'its slot is there')
  t.same(await db.query('target', owner), owned)

  signalAll([first.child.pid], 'SIGKILL')
  await first.ended
  const second = await two.start(...slow)
  const isTaken = async (): Promise<boolean> =>
    JSON.stringify(await db.query('target', owner)) !== JSON.stringify(owned)
  await until(isTaken, 'the other has begun', 60_000)
  await until(() => hasChunks(db, second), 'it copies', 60_000)
  signalAll([second.child.pid], 'SIGUSR1')
  const aborted = await one.run('--abort')
  t.equal(aborted.exit, 3, aborted.out)
  t.match(aborted.err, /Another copy into this target runs/)
  t.equal((await db.query('source', slots)).length, 1)
  signalAll([second.child.pid], 'SIGKILL')
  await second.ended
  const late = await one.run('--abort')
  t.equal(late.exit, 3, late.out)
  t.match(late.err, /Another copy has begun on this target since/)
  t.equal((await db.query('source', slots)).length, 1, 'the other can go on')
  // As if its rows had all come: what is left to do would be the foreign keys.
  const job = join(one.jobFolder, 'job.json')
  writeFileSync(job, readFileSync(job, 'utf8').replace('"stage":"copying"', '"stage":"following"'))
  const outdone = await one.run()
  t.equal(outdone.exit, 3, outdone.err)
  t.match(outdone.err, /Another copy has begun on this target since/)
  t.equal((await two.run('--abort')).exit, 0)
  const without = await one.run()
  t.equal(without.exit, 3, without.err)
  t.match(without.err, /Another copy has begun/, 'not because the slot is gone either')
})

await tap.test('a target belongs to one copy at a time', async (t) => {
  const db = await pair.database('owned', { schema: '' })
  const login = { side: 'target', purpose: 'control', task: 'copy' } as const
  const connect = (): Promise<SqlClient> => connectAs(db.context, login)
  const [lost, first, second] = [await connect(), await connect(), await connect()] as const
  t.teardown(() => [lost, first, second].forEach((client) => client.close()))
  const { signal } = new AbortController()
  await lockTarget(lost, signal)
  let isLocked = false
  const again = lockTarget(first, signal, { isAgain: true }).then(() => (isLocked = true))
  await t.rejects(lockTarget(second, signal), { code: 'MIGRATION_REFUSED' })
  t.notOk(isLocked, 'a copy waits longer for its own lost connection')
  await db.query('target', `SELECT pg_terminate_backend(${lost.pid})`)
  await again
  const [one, two] = [randomUUID(), randomUUID()] as const
  const chunk = { schema: 'public', name: 'x', chunk: 0 }
  await ensureControlSchema(first)
  await ensureChunkMarks(first)
  await takeTarget(first)
  await beginMarks(first, one)
  await first.run('BEGIN')
  t.ok(await claimChunk(first, { job: one, ...chunk }))
  await t.rejects(takeTarget(second), { code: 'MIGRATION_REFUSED' }, 'not amid a chunk')
  await first.run('COMMIT')
  t.notOk(await claimChunk(first, { job: one, ...chunk }), 'it is there')
  await takeTarget(second)
  await beginMarks(second, two)
  await t.rejects(claimChunk(first, { job: one, ...chunk }), { code: 'MIGRATION_REFUSED' })
  await t.rejects(assertOwner(first, one), { code: 'MIGRATION_REFUSED' })
  await assertOwner(second, two)
  t.same(await readChunkMarks(second, two), [])
})

await tap.test('a target that is kept for another service', async (t) => {
  const db = await pair.database('kept', { schema: 'CREATE TABLE thing (id int PRIMARY KEY)' })
  await db.query('source', 'INSERT INTO thing VALUES (1)')
  const first = new CopyCommand(db.context)
  t.teardown(() => first.remove())
  const end = await first.run()
  if (end.exit !== 0) throw new Error(end.err)
  const second = new CopyCommand({ ...db.context, service: 'other' })
  t.teardown(() => second.remove())
  const refused = await second.run()
  t.equal(refused.exit, 3, 'it would empty what is synced')
  t.match(refused.err, /not of other write to tables of the target: pontoon_kept_forward/)
  await db.query('source', 'INSERT INTO thing VALUES (2)')
  await until(
    async () => (await db.query('target', 'SELECT id FROM thing')).length === 2,
    'the first one goes on',
  )
})

await tap.test(
  'a service of another configuration, named alike, in another database',
  async (t) => {
    const schema = 'CREATE TABLE thing (id int PRIMARY KEY)'
    const first = await pair.database('namesake', { schema })
    const one = new CopyCommand(first.context)
    t.teardown(() => one.remove())
    const copied = await one.run()
    if (copied.exit !== 0) throw new Error(copied.err)
    const second = await pair.database('elsewhere', { schema })
    const two = new CopyCommand({ ...second.context, service: 'namesake' })
    t.teardown(() => two.remove())
    for (const args of [[], ['--restart'], ['--abort']]) {
      const refused = await two.run(...args)
      t.not(refused.exit, 0)
      if (!args.includes('--abort'))
        t.match(refused.err, /slot pontoon_namesake_forward belongs to the database namesake/)
    }
    await first.query('source', 'INSERT INTO thing VALUES (1)')
    await until(
      async () => (await first.query('target', 'SELECT id FROM thing')).length === 1,
      'the sync of the first goes on',
    )
  },
)

/**
 * A copy to which everything happens while tellers write: its process killed at random moments,
 * its keeper killed, either server restarted or killed, tables rewritten and truncated, the slot
 * lost, the disk full. At the end every acknowledged row is on the target exactly once.
 */
import { Client } from 'pg'
import tap, { type Test } from 'tap'
import { processTree, signalAll } from '../support/child-processes.ts'
import {
  bankPicture,
  bankRows,
  bankSchema,
  startTellers,
  untilBankIsEqual,
} from '../support/copy-bank.ts'
import { CopyCommand, type RunningCopy } from '../support/copy-command.ts'
import { startPair, type MigratedDatabase, type MigrationPair } from '../support/migration-pair.ts'
import { until } from '../support/until.ts'

const accounts = 30_000

tap.setTimeout(1_800_000)

interface Scene {
  readonly pair: MigrationPair
  readonly db: MigratedDatabase
  readonly command: CopyCommand
  /** Starts a slow copy and waits until `chunks` are there. */
  readonly begin: (chunks?: number, rate?: string) => Promise<RunningCopy>
}

const pair = await startPair({
  source: 15,
  target: 15,
  settings: {
    max_replication_slots: '20',
    max_wal_senders: '20',
    wal_retrieve_retry_interval: '200',
    // What did not wait for the disk is lost in a crash.
    wal_writer_delay: '10s',
  },
})
tap.teardown(() => pair.stop())
let number = 0

async function scene(t: Test, name: string, play: (scene: Scene) => Promise<void>) {
  await t.test(name, async (test) => {
    number += 1
    const db = await pair.database(`bank${number}`, { schema: bankSchema })
    await db.query('source', bankRows(accounts))
    const command = new CopyCommand(db.context)
    const tellers = startTellers(() => pair.source.url(`bank${number}`, 'app', 'app'), accounts)
    test.teardown(async () => {
      await tellers.stop()
      await command.remove()
    })
    const begin = async (chunks = 3, rate = '3MB/s'): Promise<RunningCopy> => {
      const running = await command.start('--chunk-size', '500k', '--rate', rate)
      await until(() => hasChunks(db, chunks, running), `${chunks} chunks`, 60_000)
      return running
    }
    await play({ pair, db, command, begin })
    await tellers.stop()
    await untilBankIsEqual(db, 120_000)
    const [before] = await bankPicture(db, 'source')
    test.equal(Number(before?.['count']), accounts, 'no account is lost or doubled')
    test.ok(tellers.done() > 100, `${tellers.done()} transactions were acknowledged`)
    await command.run('--abort')
    await db.query('target', `ALTER SUBSCRIPTION pontoon_bank${number}_forward DISABLE`)
  })
}

async function hasChunks(
  db: MigratedDatabase,
  chunks: number,
  running: RunningCopy,
): Promise<boolean> {
  if (!running.child.isRunning()) throw new Error(`the copy has ended: ${running.err()}`)
  const sql = 'SELECT count(*) FROM pontoon.copy_chunk WHERE rows > 0'
  try {
    const [row] = await db.query('target', sql)
    return Number(row?.['count']) >= chunks
  } catch {
    return false
  }
}

/** Of the chunks that are there: the ids of their copies. */
async function ownersOf(db: MigratedDatabase): Promise<string> {
  return JSON.stringify(await db.query('target', 'SELECT DISTINCT job FROM pontoon.copy_chunk'))
}

async function hasSubscription(db: MigratedDatabase): Promise<boolean> {
  const name = `pontoon_bank${number}_forward`
  const found = await db.query('target', `SELECT FROM pg_subscription WHERE subname = '${name}'`)
  return found.length > 0
}

async function finish(command: CopyCommand, ...args: readonly string[]): Promise<string> {
  const end = await command.run(...args)
  if (end.exit !== 0) throw new Error(`exit ${end.exit}: ${end.err}`)
  return end.err + end.out
}

await tap.test('processes and servers that go away', async (t) => {
  await scene(t, 'the copier is killed twice', async ({ command, begin }) => {
    for (const chunks of [2, 9]) {
      const running = await begin(chunks)
      signalAll([running.child.pid], 'SIGKILL')
      await running.ended
    }
    t.match(await finish(command), 'Going on with the copy')
  })
  await scene(t, 'copier and keeper are killed', async ({ command, begin, db }) => {
    const running = await begin(6)
    signalAll([command.keeperPid(), running.child.pid], 'SIGKILL')
    await running.ended
    const again = await command.start()
    // Tables are left to the table sync by now: what it has brought must not be emptied again.
    await until(() => hasSubscription(db), 'the subscription', 60_000)
    signalAll([again.child.pid], 'SIGKILL')
    t.match((await again.ended).err, /The snapshot is gone/)
    await finish(command)
  })
  await scene(t, 'the keeper is killed before it has a snapshot', async ({ command, db }) => {
    const open = new Client({ connectionString: pair.source.url(`bank${number}`) })
    await open.connect()
    // The slot waits for it.
    await open.query('BEGIN; SELECT txid_current()')
    const running = await command.start()
    const waits = "SELECT FROM pg_stat_activity WHERE application_name = 'pontoon copy: slot'"
    await until(async () => (await db.query('source', waits)).length > 0, 'a slot', 60_000)
    signalAll(processTree(running.child.pid).slice(1), 'SIGKILL')
    const end = await running.ended
    t.equal(end.exit, 4, end.err)
    t.match(end.err, /has ended before it had one/)
    await open.end()
    await finish(command)
  })
  await scene(t, 'the source is restarted', async ({ begin, pair: { source } }) => {
    const running = await begin(6)
    await source.restart()
    const end = await running.ended
    t.equal(end.exit, 0, end.err)
    t.match(end.err, /The snapshot is gone/)
  })
  await scene(t, 'the target crashes', async ({ begin, pair: { target } }) => {
    const running = await begin(6)
    await target.kill9()
    await target.restart()
    const end = await running.ended
    t.equal(end.exit, 0, end.err)
    t.match(end.err, /trying again/)
  })
})

await tap.test('another copy, another table', async (t) => {
  await scene(t, 'another copy takes the target', async ({ begin, command, db }) => {
    const running = await begin(3, '1MB/s')
    const other = new CopyCommand(db.context)
    t.teardown(() => other.remove())
    const refused = await other.run()
    t.equal(refused.exit, 3, 'not while one runs')
    t.match(refused.err, /Another copy into this target runs/)
    signalAll([running.child.pid], 'SIGKILL')
    await running.ended
    const owner = await ownersOf(db)
    const theirs = await other.start('--chunk-size', '500k', '--rate', '1MB/s')
    await until(async () => (await ownersOf(db)) !== owner, 'the other has begun', 60_000)
    await until(() => hasChunks(db, 2, theirs), 'the other copies', 60_000)
    const outdone = await command.run()
    t.equal(outdone.exit, 3, outdone.err)
    t.match(outdone.err, /Another copy into this target runs/)
    const end = await theirs.ended
    t.equal(end.exit, 0, end.err)
    const late = await command.run()
    t.equal(late.exit, 3, late.err)
    t.match(late.err, /Another copy has begun/)
    await other.run('--abort')
  })
  await scene(t, 'a table is made meanwhile', async ({ begin, db }) => {
    const running = await begin(3, '2MB/s')
    const made = 'CREATE TABLE late (id int PRIMARY KEY)'
    await db.query('target', `SET ROLE app; ${made}`)
    await db.query('source', `SET ROLE app; ${made}; INSERT INTO late VALUES (1), (2)`)
    const end = await running.ended
    t.equal(end.exit, 0, end.err)
    t.match(end.err, /Made on the source meanwhile.*late/)
    await db.query('source', 'INSERT INTO late VALUES (3)')
    const rows = async (): Promise<unknown> =>
      (await db.query('target', 'SELECT array_agg(id ORDER BY id) AS ids FROM late'))[0]
    await until(
      async () => JSON.stringify(await rows()) === '{"ids":[1,2,3]}',
      'rows of late',
      60_000,
    )
  })
})

await tap.test('what people do to a copy', async (t) => {
  await scene(t, 'tables are rewritten', async ({ begin, db }) => {
    const running = await begin(6)
    await db.query('source', 'VACUUM FULL account')
    await db.query('source', 'ALTER TABLE entry ALTER note TYPE varchar(50)')
    await db.query('source', 'CLUSTER entry USING entry_pkey')
    const end = await running.ended
    t.equal(end.exit, 0, end.err)
    t.match(end.err, /truncated or rewritten on the source/)
  })
  await scene(t, 'the slot is lost', async ({ begin, command, db }) => {
    const running = await begin(6)
    signalAll([running.child.pid], 'SIGKILL')
    await running.ended
    await db.query('source', `SELECT pg_drop_replication_slot('pontoon_bank${number}_forward')`)
    t.match(await finish(command), /all is copied again from a new one/)
  })
  await scene(t, 'pause, resume, Ctrl-C, abort, and again', async ({ begin, command, db }) => {
    // Slow enough for other commands to start meanwhile.
    const running = await begin(2, '300kB/s')
    const paused = await command.run('--pause')
    t.equal(paused.exit, 0, paused.err + paused.out)
    await until(() => /paused/.test(running.err()), 'it says that it is paused', 60_000)
    t.equal((await command.run('--resume')).exit, 0)
    await until(() => hasChunks(db, 4, running), 'it goes on', 60_000)
    signalAll([running.child.pid], 'SIGINT')
    const stopped = await running.ended
    t.equal(stopped.exit, 4, stopped.err)
    t.equal((await command.run('--abort')).exit, 0)
    const slots = await db.query(
      'source',
      `SELECT 1 FROM pg_replication_slots WHERE slot_name LIKE '%bank${number}%'`,
    )
    t.same(slots, [], 'the slot is gone')
    await finish(command)
  })
  await scene(t, 'what the target refuses is said, and mended', async ({ command, db }) => {
    await db.query(
      'target',
      `CREATE FUNCTION full_disk() RETURNS bool LANGUAGE plpgsql AS
         $$ BEGIN RAISE disk_full; END $$;
       ALTER TABLE account ADD CONSTRAINT full_disk CHECK (full_disk())`,
    )
    await db.query('target', 'GRANT SET ON PARAMETER session_replication_role TO pontoon_control')
    const failed = await command.run()
    t.equal(failed.exit, 1)
    t.match(failed.err, /copying public\.account: .*SQLSTATE 53100.*Make room on the disk/s)
    await db.query(
      'target',
      `ALTER TABLE account DROP CONSTRAINT full_disk;
       CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RETURN CASE WHEN NEW.id = 5 THEN NULL ELSE NEW END; END $$;
       CREATE TRIGGER swallow BEFORE INSERT ON account FOR EACH ROW EXECUTE FUNCTION swallow();
       ALTER TABLE account ENABLE ALWAYS TRIGGER swallow`,
    )
    const swallowed = await command.run()
    t.equal(swallowed.exit, 3)
    t.match(swallowed.err, /fire for copied and for replicated rows: public\.account/)
    await db.query('target', 'DROP TRIGGER swallow ON account')
    await finish(command)
  })
})

/** Verification while both sides are in use: no false alarms, repair, resumption, aborts. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import tap from 'tap'
import { z } from 'zod'
import { readLastVerify, verifyFolder } from '../../../../src/migration/pg/verify/last-verify.ts'
import { totalOf } from '../../../../src/migration/pg/verify/report.ts'
import { verifyService } from '../../../../src/migration/pg/verify/verify-service.ts'
import { verifyDefaults, verifyTables } from '../../../../src/migration/pg/verify/verify-tables.ts'
import { postgresBinFolder } from '../../../support/postgres-binaries.ts'
import { programArgs } from '../../../support/program.ts'
import { switchLockKeys } from '../../../../src/migration/pg/switch/lock.ts'
import { until } from '../../../support/until.ts'
import { startVerifyPair, type VerifyPair } from '../../../support/verify-pair.ts'

tap.setTimeout(280_000)

const accountsSql = `
CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, note text DEFAULT repeat('n', 80));
CREATE TABLE log (id bigint PRIMARY KEY, what text);
ALTER TABLE log REPLICA IDENTITY FULL;
CREATE TABLE hot (id int PRIMARY KEY, n bigint);
INSERT INTO accounts SELECT i, 0 FROM generate_series(1, 20000) i;
INSERT INTO hot VALUES (1, 0);
ANALYZE;`

/** What pontoon verify --no-schema asks for: the same subject, so the same journal. */
const asCommand = { ...verifyDefaults, withSchema: false } as const

const statusSchema = z.object({ event: z.string(), done: z.number().optional() })

const planted = [77, 15_000]

/** Hundreds of writes a second are enough: many for each chunk that is compared. */
const writeIntervalMs = 5

/** Clients that update, insert, delete and update one row all the time, until told to stop. */
async function startWriters(url: string): Promise<() => Promise<number>> {
  const stop = new AbortController()
  let writes = 0
  const writer = async (own: number): Promise<void> => {
    const client = new Client({ connectionString: url })
    await client.connect()
    for (let at = 0; !stop.signal.aborted; at += 1) {
      const next = ((at * 7_919 + own * 101) % 20_000) + 1
      // A change of the whole row would heal what was planted there.
      const id = planted.includes(next) ? next + 1 : next
      await client.query(
        own === 0
          ? 'UPDATE hot SET n = n + 1'
          : `UPDATE accounts SET balance = balance + 1 WHERE id = ${id};
             INSERT INTO log VALUES (${at * 10 + own}, 'w');
             DELETE FROM log WHERE id = ${(at - 50) * 10 + own};
             INSERT INTO accounts VALUES (${100_000 + at * 10 + own}, 1)`,
      )
      writes += 1
      await sleep(writeIntervalMs)
    }
    await client.end()
  }
  const writers = [0, 1, 2].map(writer)
  await until(() => writes > 20, 'writes have begun', 20_000)
  return async () => {
    stop.abort()
    await Promise.all(writers)
    return writes
  }
}

await tap.test('verification of a live pair', async (whole) => {
  const pair = await startVerifyPair(15, 18)
  whole.teardown(() => pair.stop())
  const state = mkdtempSync(join(tmpdir(), 'pontoon-verify-'))
  whole.teardown(() => rmSync(state, { recursive: true, force: true }))

  await whole.test('writes going on: no false alarm, what is wrong is found', async (t) => {
    const database = await pair.database('live', accountsSql)
    await database.replicate('forward')
    const stop = await startWriters(pair.servers.source.url('live'))
    t.teardown(stop)
    const options = { context: database.context, chunkRows: 2_000, jobs: 4 }
    for (let round = 0; round < 2; round += 1) {
      const { data } = await verifyTables(options)
      t.ok(data.isAligned)
      t.match(totalOf(data.tables), { differing: 0, unsettled: 0 }, JSON.stringify(data.tables))
    }
    await database.query(
      'target',
      `UPDATE accounts SET note = NULL WHERE id IN (${planted.join(', ')})`,
    )
    await database.query('target', `INSERT INTO log VALUES (-1, 'planted')`)
    const { data } = await verifyTables(options)
    const found = data.tables.map((table) =>
      table.differences.map(({ key }) => key?.['id']).toSorted((a, b) => Number(a) - Number(b)),
    )
    t.same(found, [planted.map(String), [], ['-1']])

    await database.query(
      'target',
      `SELECT pg_create_logical_replication_slot('witness', 'pgoutput')`,
    )
    const repaired = await verifyTables({ ...options, repair: true })
    t.match(totalOf(repaired.data.tables), { differing: 3, repaired: 3 })
    const actions = repaired.data.tables.flatMap(({ repairs }) => repairs.map((one) => one.action))
    t.same(actions.toSorted(), ['deleted', 'updated', 'updated'])
    await stop()
    const after = await verifyTables(options)
    t.match(totalOf(after.data.tables), { differing: 0, unsettled: 0 })
    await database.query('target', 'CREATE PUBLICATION witnessed FOR TABLE accounts, log')
    const back = `SELECT count(*)::int AS n FROM pg_logical_slot_get_binary_changes('witness', NULL, NULL,
      'proto_version', '1', 'publication_names', 'witnessed', 'origin', 'none')
      WHERE get_byte(data, 0) IN (ascii('I'), ascii('U'), ascii('D'))`
    t.same(await database.query('target', back), [{ n: 0 }], 'nothing is to be carried back')
    await database.query('target', `SELECT pg_drop_replication_slot('witness')`)
  })

  await whole.test('a chunk that waits for sync waits for that of its own changes', async (t) => {
    const database = await pair.database('stalled', accountsSql)
    await database.replicate('forward')
    const { context } = database
    await database.query('target', 'BEGIN; SELECT 1; COMMIT')
    const lock = new Client({ connectionString: pair.servers.target.url('stalled') })
    await lock.connect()
    await lock.query('BEGIN; LOCK TABLE pontoon.heartbeat_forward IN SHARE MODE')
    await t.rejects(verifyTables({ context, syncTimeoutMs: 2_000 }), { code: 'SYNC_BEHIND' })
    await lock.end()
    await database.query('target', 'ALTER SUBSCRIPTION pontoon_stalled_forward DISABLE')
    await t.rejects(verifyTables({ context }), { code: 'MIGRATION_REFUSED' })
    await database.query('source', 'UPDATE accounts SET balance = 7 WHERE id = 7')
    const { data } = await verifyTables({ context, asIs: true })
    t.notOk(data.isAligned)
    t.equal(totalOf(data.tables).differing, 1)
  })

  await whole.test('tables that are still copied are not compared, nor repaired', async (t) => {
    const database = await pair.database('copying', 'CREATE TABLE late (id int PRIMARY KEY)')
    await database.query('source', 'INSERT INTO late VALUES (1)')
    await database.replicate('forward')
    await database.both('CREATE TABLE later (id int PRIMARY KEY)')
    await database.query('source', 'ALTER PUBLICATION pontoon_copying_forward ADD TABLE later')
    const lock = new Client({ connectionString: pair.servers.target.url('copying') })
    await lock.connect()
    await lock.query('BEGIN; LOCK TABLE later IN SHARE MODE')
    const refresh = 'ALTER SUBSCRIPTION pontoon_copying_forward REFRESH PUBLICATION'
    await database.query('target', refresh)
    const { context } = database
    const refusal = {
      code: 'MIGRATION_REFUSED',
      message: /still copied by the server \(public.later\)/,
    }
    await t.rejects(verifyTables({ context }), refusal)
    await t.rejects(verifyTables({ context, asIs: true, repair: true }), refusal)
    t.equal((await verifyTables({ context, only: ['public.late'] })).data.tables.length, 1)
    await lock.end()
    const ready = `SELECT bool_and(srsubstate = 'r') AS ready FROM pg_subscription_rel`
    await until(async () => (await database.query('target', ready))[0]?.['ready'] === true, 'ready')
    t.equal((await verifyTables({ context })).data.tables.length, 2)
  })

  await whole.test('what DDL changes meanwhile is not called equal', async (t) => {
    const database = await pair.database(
      'altered',
      'CREATE TABLE one (id int); CREATE TABLE two (id int)',
    )
    const ddl = 'ALTER TABLE one ADD n int; CREATE TABLE three (id int)'
    let isDone = false
    const report = await verifyService({
      context: database.context,
      stateFolder: state,
      withSchema: true,
      onProgress: () => {
        if (isDone) return
        isDone = true
        for (const server of [pair.servers.source, pair.servers.target])
          execFileSync(join(postgresBinFolder(15), 'psql'), ['-qc', ddl, server.url('altered')])
      },
    })
    t.equal(report.result, 'unsettled')
    t.match(report.data.leftOut, [
      { table: 'public.one', reason: /changed by DDL meanwhile/ },
      { table: 'public.three', reason: /made meanwhile/ },
    ])
    t.equal(report.data.leftOut.length, 2)
  })

  await whole.test('after a cutover the target is the primary side', async (t) => {
    const database = await pair.database('moved', accountsSql)
    await database.both(`INSERT INTO pontoon.mark (epoch, primary_side) VALUES (2, 'target')`)
    await database.replicate('reverse')
    await database.query('target', 'INSERT INTO accounts VALUES (0, 5)')
    const { data } = await verifyTables({ context: database.context })
    t.match(data, { primary: 'target', isAligned: true })
    t.equal(totalOf(data.tables).differing, 0)
    await database.query('source', 'DELETE FROM accounts WHERE id = 0')
    const again = await verifyTables({ context: database.context, repair: true })
    t.match(again.data.tables[0]?.repairs, [{ key: ['0'], action: 'inserted' }])
    const lock = new Client({ connectionString: pair.servers.target.url('moved') })
    await lock.connect()
    await lock.query(`SELECT pg_advisory_lock(${switchLockKeys})`)
    await database.query('source', 'DELETE FROM accounts WHERE id = 0')
    await t.rejects(verifyTables({ context: database.context, repair: true }), {
      code: 'MIGRATION_REFUSED',
      message: /a switch, or another repair, is under way/,
    })
    await lock.end()
    t.same(await database.query('source', 'SELECT FROM accounts WHERE id = 0'), [])
    await database.query('source', `UPDATE pontoon.mark SET epoch = 3, primary_side = 'source'`)
    await t.rejects(verifyTables({ context: database.context }), { code: 'MIGRATION_REFUSED' })
  })

  await whole.test('a repair acts on nothing else, and says which right is missing', async (t) => {
    const database = await pair.database(
      'rights',
      `CREATE TABLE parent (id int PRIMARY KEY);
       CREATE TABLE child (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
         parent int REFERENCES parent ON DELETE CASCADE, twice int GENERATED ALWAYS AS (id * 2) STORED);
       CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''fired''; END';
       INSERT INTO parent VALUES (1), (2); INSERT INTO child (parent) VALUES (1), (2);
       CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON child EXECUTE FUNCTION refuse();`,
    )
    await database.query('source', 'DELETE FROM parent WHERE id = 99')
    await database.query(
      'target',
      `SET session_replication_role = replica; DELETE FROM child WHERE id = 1;
       UPDATE child SET parent = 1 WHERE id = 2; INSERT INTO parent VALUES (3)`,
    )
    const { data } = await verifyTables({ context: database.context, repair: true })
    t.match(totalOf(data.tables), { differing: 3, repaired: 3 })
    t.same(await database.query('target', 'SELECT * FROM child ORDER BY id'), [
      { id: 1, parent: 1, twice: 2 },
      { id: 2, parent: 2, twice: 4 },
    ])
    await pair.servers.target.query(`CREATE ROLE meek LOGIN PASSWORD 'meek'`)
    const { config } = database.context
    const controlUser = { user: 'meek', password: 'meek' }
    const target = {
      ...config.target,
      controlUser,
      readUser: { user: 'postgres', password: 'postgres' },
    }
    const context = { ...database.context, config: { ...config, target } }
    await t.rejects(verifyTables({ context, repair: true }), {
      code: 'MIGRATION_REFUSED',
      message: /GRANT SET ON PARAMETER session_replication_role TO meek/,
    })
  })

  await whole.test(
    'killed, it goes on where it was; stopped, it leaves nothing behind',
    async (t) => {
      const database = await pair.database('resumed', accountsSql)
      const config = writeConfig(pair, 'resumed', state)
      const journal = join(verifyFolder(state, 'resumed'), 'journal.jsonl')
      const compared = (): number =>
        linesOf(journal).filter((line) => line.includes('"compared"')).length
      const slow = startVerify(config, 'resumed', ['--rate', '2000', '--chunk-rows', '1000'])
      const hasFirst = (): boolean => linesOf(journal).some((line) => line.includes('"chunk":0,'))
      await until(() => compared() >= 4 && hasFirst(), 'a few chunks are compared', 30_000)
      slow.child.kill('SIGKILL')
      await slow.done
      const before = compared()
      await database.query('target', 'UPDATE accounts SET balance = 1 WHERE id IN (1, 20000)')
      // Torn by the crash: it counts for nothing.
      writeFileSync(journal, '{"kind":"compared","table":"public.acc', { flag: 'a' })

      const stopped = startVerify(config, 'resumed', ['--rate', '2000', '--chunk-rows', '1000'])
      await until(() => compared() > before + 1, 'it goes on', 30_000)
      stopped.child.kill('SIGINT')
      const { exit, err } = await stopped.done
      t.equal(exit, 4)
      const events = err.flatMap((line) => statusSchema.safeParse(parsed(line)).data ?? [])
      t.equal(events[0]?.event, 'resumed')
      t.ok((events.find(({ event }) => event === 'progress')?.done ?? 0) >= 2_000)
      const running = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'pontoon verify'
      AND datname = 'resumed' AND state <> 'idle'`
      await until(
        async () => (await database.query('source', running))[0]?.['n'] === 0,
        'all ended',
      )

      const { context } = database
      const last = await verifyService({ ...asCommand, context, stateFolder: state })
      t.equal(last.result, 'different')
      t.match(await readLastVerify(state, 'resumed'), {
        result: 'different',
        // Row 1 is in a chunk that was compared before.
        differing: 1,
        rows: 20_001,
      })
      t.same(linesOf(journal), [], 'the next one begins anew')
    },
  )

  await whole.test('a copy made anew is compared anew', async (t) => {
    const database = await pair.database('anew', accountsSql)
    await database.replicate('forward')
    const { context } = database
    let isResumed = false
    const options = { ...asCommand, context, stateFolder: state, chunkRows: 4_000 }
    const begin = async (): Promise<boolean> => {
      isResumed = false
      const stop = new AbortController()
      const { signal } = stop
      const onProgress = ({ rows }: { rows: number }): void => {
        if (rows > 0) stop.abort(new Error('stopped'))
      }
      const onResume = (): void => void (isResumed = true)
      await t.rejects(verifyService({ ...options, signal, onProgress, onResume }))
      return isResumed
    }
    t.same([await begin(), await begin()], [false, true])
    await database.query('target', 'DROP SUBSCRIPTION pontoon_anew_forward')
    await database.query('source', 'DROP PUBLICATION pontoon_anew_forward')
    await database.replicate('forward')
    t.equal(await begin(), false)
  })

  await whole.test('schema, sequences and what is not carried over', async (t) => {
    const database = await pair.database(
      'schemas',
      `CREATE TABLE t (id serial PRIMARY KEY, v text DEFAULT 'x', CHECK (id > 0)); CREATE INDEX t_v ON t (v);
       CREATE VIEW w AS SELECT * FROM t; CREATE UNLOGGED TABLE u (a int); CREATE TYPE mood AS ENUM ('a', 'b');
       CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a'; CREATE SEQUENCE down INCREMENT -1;
       CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
       CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION g();
       GRANT SELECT ON t TO PUBLIC; GRANT UPDATE (v) ON t TO PUBLIC;`,
    )
    const { config } = database.context
    const target = { ...config.target, replicationUser: { user: 'own', password: 'own' } }
    const context = { ...database.context, config: { ...config, target } }
    await database.query('target', 'CREATE ROLE own; GRANT SELECT ON t TO own')
    const options = { context, stateFolder: state, withSchema: true }
    const equal = await verifyService(options)
    t.equal(equal.result, 'equal', JSON.stringify(equal.schema))
    await database.query(
      'source',
      `SELECT nextval('down'), nextval('down'); INSERT INTO u VALUES (1); SELECT lo_create(0)`,
    )
    await database.query('target', `SELECT nextval('t_id_seq')`)
    const warned = await verifyService(options)
    t.match(warned, { result: 'equal', schema: { sequencesBehind: [{ sequence: 'public.down' }] } })
    t.equal(warned.schema?.warnings.length, 2)
    await database.query(
      'target',
      `DROP INDEX t_v; DROP TRIGGER tr ON t; ALTER TYPE mood ADD VALUE 'c'; REVOKE SELECT ON t FROM PUBLIC;
       REVOKE UPDATE (v) ON t FROM PUBLIC; REVOKE DELETE ON t FROM postgres;
       ALTER TABLE t ALTER v SET DEFAULT 'y', DROP CONSTRAINT t_id_check; DROP VIEW w;
       CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a + 1'`,
    )
    const different = await verifyService(options)
    t.equal(different.result, 'different')
    const grants = different.schema?.differences.filter(({ kind }) => kind === 'grant')
    t.same(grants?.map(({ name }) => name).toSorted(), [
      'public.t to PUBLIC',
      'public.t.v to PUBLIC',
    ])
    const table = different.schema?.differences.find(({ kind }) => kind === 'table')
    t.match(table, { name: 'public.t', other: 'identity d owner without DELETE' })
    const kinds = new Set(different.schema?.differences.map(({ kind }) => kind))
    const expected = [
      'index',
      'trigger',
      'type',
      'grant',
      'column',
      'constraint',
      'view',
      'function',
      'table',
    ]
    t.same([...kinds].toSorted(), expected.toSorted())
    t.match(await readLastVerify(state, 'schemas'), { result: 'different', isComplete: true })
    t.equal(await readLastVerify(state, 'never'), undefined)
  })
})

interface VerifyRun {
  readonly child: ChildProcess
  readonly done: Promise<{ readonly exit: number | null; readonly err: readonly string[] }>
}

function startVerify(config: string, service: string, args: readonly string[]): VerifyRun {
  const command = ['verify', service, '--config', config, '--json', '--no-schema', ...args]
  const child = spawn(process.execPath, [...programArgs('src/main.ts'), ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let text = ''
  child.stderr.on('data', (bytes) => (text += String(bytes)))
  const done = new Promise<{ exit: number | null; err: readonly string[] }>((resolve) =>
    child.once('close', (exit) => resolve({ exit, err: text.split('\n') })),
  )
  return { child, done }
}

function sideYaml(port: number): string {
  return `{ host: 127.0.0.1, port: ${port}, user: postgres, password: postgres, tls: { mode: disable } }`
}

function writeConfig(pair: VerifyPair, name: string, state: string): string {
  const path = join(state, `${name}.yml`)
  writeFileSync(
    path,
    `state: { file: ${state} }
services:
  ${name}:
    protocol: postgres
    listen: 127.0.0.1:1
    clientAuth: { mode: trust }
    databases: [${name}]
    source: ${sideYaml(pair.servers.source.port)}
    target: ${sideYaml(pair.servers.target.port)}
`,
  )
  return path
}

function linesOf(path: string): readonly string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
  } catch {
    return []
  }
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return null
  }
}

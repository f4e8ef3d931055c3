/** pontoon sync between real servers: 15 → 18, with a target role that is no superuser. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import tap from 'tap'
import { stringify } from 'yaml'
import { z } from 'zod'
import { controlSchemaSql } from '../../../../src/migration/pg/control-schema.ts'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { startPair, type MigratedDatabase } from '../../../support/migration-pair.ts'
import { until } from '../../../support/until.ts'

const schema = `
CREATE TABLE item (id bigint PRIMARY KEY, note text);
CREATE TABLE parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
`
const name = 'pontoon_shop_forward'
const readLog = 'pg_read_binary_file(text, bigint, bigint)'
const health = z.object({ state: z.string() })

tap.setTimeout(280_000)

await tap.test('pontoon sync', async (whole) => {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-sync-'))
  const pair = await startPair({
    source: 15,
    target: 18,
    settings: { max_slot_wal_keep_size: '1MB', max_wal_size: '32MB', wal_keep_size: '0' },
    targetSettings: { logging_collector: 'on', wal_retrieve_retry_interval: '200ms' },
  })
  whole.teardown(async () => {
    await pair.stop()
    rmSync(folder, { recursive: true })
  })
  const shop = await pair.database('shop', { schema })
  const file = join(folder, 'pontoon.yml')
  writeFileSync(file, configText(shop))
  const sync = (...more: string[]): Promise<Captured> =>
    pontoon(['sync', 'shop', '--config', file, ...more], {})

  await whole.test("refused before Pontoon's schema is there", async (t) => {
    const early = await sync()
    t.equal(early.exit, 3)
    t.match(early.out, "Pontoon's schema is missing on the source and the target")
    for (const side of ['source', 'target'] as const) {
      const control = await shop.connect(side, 'control')
      await control.run(controlSchemaSql())
      await control.run('GRANT ALL ON ALL TABLES IN SCHEMA pontoon TO pontoon_repl')
    }
  })

  await whole.test('refused into a table that has rows', async (t) => {
    await shop.query(
      'source',
      "INSERT INTO item VALUES (1, 'one'); INSERT INTO parted VALUES (1, '2026-02-02')",
    )
    await shop.query('target', "INSERT INTO item VALUES (9, 'stray')")
    const full = await sync()
    t.equal(full.exit, 3)
    t.match(full.out, 'rows are on the target already, in public.item')
    await shop.query('target', 'DELETE FROM item')
  })

  await whole.test('shows the SQL without the password, then makes it', async (t) => {
    const shown = await sync('--print-sql')
    t.match(shown.out, `CREATE PUBLICATION "${name}" FOR TABLE ONLY "public"."item"`)
    t.match(shown.out, `CREATE SUBSCRIPTION "${name}" CONNECTION`)
    t.match(shown.out, "password=''***''")
    t.notMatch(shown.out, 'secret')
    t.match((await sync('--once')).out, /forward: absent/)
    const made = await sync()
    t.equal(made.exit, 0, made.out + made.err)
    t.match(made.out, /forward: (?:copying|streaming)/)
    await until(
      async () => (await shop.query('target', 'SELECT * FROM item, parted')).length === 1,
      'the rows are copied',
    )
    const again = await sync('--json')
    t.match(again.json, { health: { state: 'streaming', problem: null, notReadyCount: 0 } })
    t.same(again.json['drift'], [])
    t.match((await sync('--dry-run')).out, 'Nothing would be done')
  })

  await whole.test('a conflict stops it; the words and the fix are told', async (t) => {
    await shop.query('target', "INSERT INTO item VALUES (2, 'stray')")
    // The worker is busy for a while before it meets the row.
    await shop.query(
      'source',
      `INSERT INTO item SELECT n FROM generate_series(1000, 16000) n;
       INSERT INTO item VALUES (2, 'two')`,
    )
    const cause = /stopped.*somebody wrote there/s
    await until(async () => cause.test((await sync('--once')).out), 'it is stopped', 40_000)
    const states = new Set<unknown>()
    for (const end = performance.now() + 2_000; performance.now() < end;) {
      const { json } = await sync('--once', '--json')
      states.add(health.parse(json['health']).state)
    }
    t.same([...states], ['stopped'], 'a worker that the server tries anew does not count')
    await shop.query('target', `REVOKE EXECUTE ON FUNCTION ${readLog} FROM pontoon_control`)
    t.match((await sync('--once')).out, /ends with an error whenever the server starts it/)
    const [log] = await shop.query('target', 'SELECT pg_read_file(pg_current_logfile()) AS text')
    t.notMatch(log?.['text'], 'permission denied for function', 'nor stands that in the log')
    await shop.query('target', `GRANT EXECUTE ON FUNCTION ${readLog} TO pontoon_control`)
    await shop.query('target', `ALTER SUBSCRIPTION ${name} DISABLE`)
    await until(async () => /disabled/.test((await sync('--once')).out), 'it is off')
    const told = await sync('--once', '--json')
    t.equal(told.exit, 1)
    t.match(told.json, {
      health: {
        state: 'disabled',
        errors: { conflicts: { insert_exists: Number } },
        problem: { cause: /somebody wrote there.*item_pkey/s, fix: /delete that row/ },
      },
    })
    await shop.query('target', 'DELETE FROM item WHERE id = 2')
    const mended = await sync()
    t.equal(mended.exit, 0, mended.out)
    t.match(mended.err, 'switch the subscription on again')
    await until(
      async () => (await shop.query('target', 'SELECT FROM item WHERE id = 2')).length === 1,
      'the row has come',
    )
  })

  await whole.test(
    'DDL on one side is told before it stops the stream; new tables join',
    async (t) => {
      await shop.query(
        'source',
        `SET ROLE app; ALTER TABLE item ADD COLUMN size int; CREATE TABLE late (id int PRIMARY KEY);
       INSERT INTO late VALUES (7); CREATE SEQUENCE counter`,
      )
      const told = await sync('--json')
      t.equal(told.exit, 0)
      t.match(told.json['drift'], [
        { table: 'public.item', effect: 'stops', text: /column size/ },
        { table: 'public.late', effect: 'loses' },
        { table: 'public.late', effect: 'differs', text: /missing on the receiving side/ },
        { table: 'public.counter', effect: 'loses' },
      ])
      await shop.query(
        'target',
        'SET ROLE app; ALTER TABLE item ADD COLUMN size int; CREATE TABLE late (id int PRIMARY KEY); CREATE SEQUENCE counter',
      )
      const joined = await sync('--json')
      t.equal(joined.exit, 0)
      t.same(joined.json['drift'], [])
      await until(
        async () => (await shop.query('target', 'SELECT FROM late')).length === 1,
        'its rows are copied',
      )
      await shop.query('source', `ALTER PUBLICATION ${name} DROP TABLE ONLY item, ONLY late`)
      const gap = await sync()
      t.match(gap.err, /2 tables more, 0 less\)\. What public\.item, public\.late had for changes/)
      t.match(gap.err, 'run pontoon verify shop --repair when sync runs')
    },
  )

  await whole.test('another password is given to the subscription', async () => {
    await shop.query('source', "ALTER ROLE pontoon_repl PASSWORD 'another'")
    const [slot] = await shop.query('source', `SELECT active_pid FROM pg_replication_slots`)
    await shop.query('source', `SELECT pg_terminate_backend(${String(slot?.['active_pid'])})`)
    await until(
      async () => /cannot log in to the sending one/.test((await sync('--once')).out),
      'it cannot log in',
      40_000,
    )
    writeFileSync(file, configText(shop, 'another'))
    // A worker that begins anew for its new password may end between two looks; tables that were
    // published anew may still be copied.
    await until(
      async () => /"state": ?"(?:streaming|copying)"/.test((await sync('--json')).out),
      'it goes on',
      40_000,
    )
  })

  await whole.test('a lost slot needs a new copy', async (t) => {
    await shop.query('target', `ALTER SUBSCRIPTION ${name} DISABLE`)
    await until(
      async () => {
        await shop.query(
          'source',
          'SELECT pg_logical_emit_message(false, $$x$$, repeat($$x$$, 9000000)), pg_switch_wal()',
        )
        await shop.query('source', 'CHECKPOINT')
        const [slot] = await shop.query('source', 'SELECT wal_status FROM pg_replication_slots')
        return slot?.['wal_status'] === 'lost'
      },
      'the slot is given up',
      20_000,
    )
    const lost = await sync()
    t.equal(lost.exit, 3)
    t.match(
      lost.out,
      /given up.*max_slot_wal_keep_size.*--drop --yes, then pontoon copy SERVICE --restart/s,
    )
  })

  await whole.test('drop asks, then leaves nothing behind', async (t) => {
    const asked = await sync('--drop')
    t.equal(asked.exit, 3)
    t.match(asked.out, 'add --yes')
    const dropped = await sync('--drop', '--yes')
    t.equal(dropped.exit, 0, dropped.out + dropped.err)
    t.same(await shop.query('target', 'SELECT FROM pg_subscription'), [])
    t.same(await shop.query('source', 'SELECT FROM pg_replication_slots'), [])
    t.same(await shop.query('source', 'SELECT FROM pg_publication'), [])
    t.match((await sync('--drop', '--yes')).out, 'nothing to take away')
  })
})

/** As people write it: what parsing filled in is left out. */
function configText({ context }: MigratedDatabase, sourcePassword?: string): string {
  const { source, target, databases } = context.config
  const sideOf = ({ host, port, controlUser, replicationUser }: typeof source): object => ({
    host,
    port,
    controlUser,
    replicationUser,
    tls: { mode: 'disable' },
  })
  const password = sourcePassword ?? source.replicationUser?.password
  const replicationUser = { user: source.replicationUser?.user, password }
  const shop = {
    protocol: 'postgres',
    listen: '127.0.0.1:1',
    clientAuth: { mode: 'trust' },
    databases,
    source: { ...sideOf(source), replicationUser },
    target: sideOf(target),
  }
  return stringify({ services: { shop } })
}

await tap.test('a server without a worker for the tables that are to be copied', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-sync-'))
  const targetSettings = { max_logical_replication_workers: '1' }
  const pair = await startPair({ source: 15, target: 18, targetSettings })
  t.teardown(async () => {
    await pair.stop()
    rmSync(folder, { recursive: true })
  })
  const shop = await pair.database('shop', { schema })
  for (const side of ['source', 'target'] as const) {
    await shop.query(side, `SET ROLE pontoon_control; ${controlSchemaSql()}`)
    await shop.query(side, 'GRANT ALL ON ALL TABLES IN SCHEMA pontoon TO pontoon_repl')
  }
  const file = join(folder, 'pontoon.yml')
  writeFileSync(file, configText(shop))
  const sync = (...more: string[]): Promise<Captured> =>
    pontoon(['sync', 'shop', '--config', file, ...more], {})
  await sync('--wait', '1s')
  const cause =
    /copying.*max_logical_replication_workers of the target is 1 and has to be 2.*raise/s
  await until(async () => cause.test((await sync('--once')).out), 'the one worker is at work')
  const { out } = await sync('--wait', '1s')
  t.match(out, cause)
  t.match(out, /stream +NO .*raise max_logical_replication_workers/)
})

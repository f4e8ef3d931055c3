/** Publications, subscriptions and slots between real servers: 15 → 18 and back. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap from 'tap'
import { conninfo, redactConninfo } from '../../../src/migration/pg/conninfo.ts'
import { awaitMarker, sendMarker } from '../../../src/migration/pg/beats.ts'
import { controlSchemaSql } from '../../../src/migration/pg/control-schema.ts'
import { formatLsn, parseLsn } from '../../../src/migration/pg/lsn.ts'
import {
  ensureProbePublication,
  ensurePublication,
  readPublishedTables,
} from '../../../src/migration/pg/publication.ts'
import { createSlot, dropSlot, readSlot } from '../../../src/migration/pg/slot.ts'
import { subscribe } from '../../../src/migration/pg/subscribe.ts'
import {
  createSubscription,
  createSubscriptionSql,
  disableSubscription,
  dropSubscription,
  enableSubscription,
  terminateApplyWorker,
} from '../../../src/migration/pg/subscription.ts'
import { readSubscription } from '../../../src/migration/pg/subscription-state.ts'
import { readTables } from '../../../src/migration/pg/tables.ts'
import { readable } from '../../../src/migration/pg/quote.ts'
import { probeSide } from '../../../src/net/pg/probe.ts'
import { createAuthority } from '../../support/certificates.ts'
import { startPair } from '../../support/migration-pair.ts'
import { until } from '../../support/until.ts'

const schema = `
CREATE TABLE plain (id bigint PRIMARY KEY, note text);
CREATE SCHEMA "Odd Name";
CREATE TABLE "Odd Name"."Ta""ble" (a int PRIMARY KEY);
CREATE TABLE parted (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE parted_one PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE heir (id bigint PRIMARY KEY, extra text) INHERITS (plain);
CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
`
const published = [
  '"Odd Name"."Ta""ble"',
  'pontoon.heartbeat_forward',
  'public.heir',
  'public.parted_one',
  'public.plain',
]

tap.setTimeout(280_000)

const patience = { timeoutMs: 20_000 }

await tap.test('positions in the log', (t) => {
  for (const [text, value] of [
    ['0/0', 0n],
    ['16/B374D848', 0x16b374d848n],
    ['FFFFFFFF/FFFFFFFF', 0xffff_ffff_ffff_ffffn],
  ] as const) {
    t.equal(parseLsn(text), value)
    t.equal(formatLsn(parseLsn(text)), text)
  }
  for (const text of ['', '0', '0/', 'G/0', '0/123456789'])
    t.throws(() => parseLsn(text), RangeError, text)
  t.end()
})

await tap.test('15 → 18 and back, verify-full to the target', async (whole) => {
  const authority = await createAuthority()
  const pair = await startPair({ source: 15, target: 18, targetTls: await authority.server() })
  whole.teardown(async () => {
    await pair.stop()
    authority.remove()
  })
  // What the source's server reads lies with it.
  const sourceCa = join(pair.source.folder, 'target-ca.pem')
  writeFileSync(sourceCa, authority.ca.cert)
  const tls = { mode: 'verify-full', ca: authority.ca.certPath }
  const target = { host: 'localhost', tls, tlsSeenFromOtherSide: { ca: sourceCa } }
  const shop = await pair.database('shop', { schema, target })
  const { context } = shop
  await shop.query('target', `ALTER ROLE pontoon_control SET transaction_timeout = '1s'`)
  const patient = await shop.connect('target', 'control')
  whole.equal(await patient.value('SHOW transaction_timeout'), '0', 'no limit of the role counts')
  await shop.query('target', 'ALTER ROLE pontoon_control RESET transaction_timeout')
  const [control, farControl, repl, farRepl] = await Promise.all([
    shop.connect('source', 'control'),
    shop.connect('target', 'control'),
    shop.connect('source', 'replication'),
    shop.connect('target', 'replication'),
  ])
  for (const client of [control, farControl]) {
    await client.run(controlSchemaSql())
    await client.run('GRANT ALL ON ALL TABLES IN SCHEMA pontoon TO pontoon_repl')
  }
  const forward = { service: 'shop', direction: 'forward', receiverMajor: 18 } as const
  const name = 'pontoon_shop_forward'
  const spec = {
    name,
    publications: [name],
    publisherMajor: 15,
    copyData: true,
    enabled: true,
  }

  await whole.test('what is checked of a side knows when its certificate expires', async (t) => {
    const login = { user: 'app', password: 'app', database: 'shop' }
    const { ok, steps, certificateExpires } = await probeSide(context.config.target, login)
    t.ok(ok)
    t.match(steps, [{}, {}, { name: 'tls', text: /certificate verified, expires .* GMT$/ }])
    t.ok((certificateExpires?.getTime() ?? 0) > Date.now(), String(certificateExpires))
  })

  await whole.test('a publication is made and mended', async (t) => {
    const tables = await readTables(control)
    const made = await ensurePublication(control, { ...forward, tables })
    t.ok(made.isNew)
    t.same((await readPublishedTables(control, name))?.map(readable), published)
    t.same((await ensurePublication(control, { ...forward, tables })).statements, [])
    await control.run(
      `ALTER PUBLICATION ${name} DROP TABLE public.heir;
       ALTER PUBLICATION ${name} SET TABLE ONLY public.plain (id), ONLY pontoon.mark;
       ALTER PUBLICATION ${name} SET (publish = 'insert', publish_via_partition_root)`,
    )
    const mended = await ensurePublication(control, { ...forward, tables })
    t.match(mended, { isNew: false, dropped: [{ name: 'mark' }, { name: 'plain' }] })
    t.equal(mended.statements.length, 3)
    t.same((await readPublishedTables(control, name))?.map(readable), published)
    t.same((await ensurePublication(control, { ...forward, tables })).statements, [])
    t.equal(await readPublishedTables(control, 'none'), undefined)
  })

  await whole.test('a table without identity is refused: its updates would fail', async (t) => {
    await shop.query('source', 'CREATE TABLE keyless (v text)')
    const tables = await readTables(control)
    await t.rejects(ensurePublication(control, { ...forward, tables }), {
      code: 'MIGRATION_REFUSED',
      message: /keyless/,
    })
    await shop.query('source', 'ALTER TABLE keyless REPLICA IDENTITY FULL')
    const again = await readTables(control)
    t.match(await ensurePublication(control, { ...forward, tables: again }), {
      added: [{ name: 'keyless' }],
    })
    await shop.query('source', 'DROP TABLE keyless')
  })

  await whole.test('a subscription of a role that is no superuser', async (t) => {
    await shop.query('source', "INSERT INTO plain VALUES (1, 'one')")
    const text = await conninfo(context, 'source', { task: 'sync shop', subscriberMajor: 18 })
    t.match(text, "password='repl\\'s \\\\ secret'")
    t.notMatch(redactConninfo(text), 'secret')
    await createSlot(repl, name)
    await createSubscription(farRepl, { ...spec, conninfo: text })
    await until(
      async () =>
        (await readSubscription(farControl, name))?.tables.every(
          ({ state }) => state === 'ready',
        ) === true,
      'all tables are ready',
      20_000,
    )
    const marker = await sendMarker(control, 'forward', 'probe', patience)
    await awaitMarker(farControl, marker, patience)
    t.same(await shop.query('target', 'SELECT note FROM ONLY plain'), [{ note: 'one' }])
    const state = await readSubscription(farControl, name)
    t.match(state, { owner: 'pontoon_repl', isEnabled: true, slot: name, publications: [name] })
    t.same(state?.tables.map(readable), published)
    t.match(state?.errors, { apply: 0, sync: 0, conflicts: { insert_exists: 0 } })
    t.ok((state?.workerPid ?? 0) > 0 && (state?.receivedLsn ?? 0n) > 0n)
    const slot = await readSlot(repl, name)
    t.match(slot, { isActive: true, walStatus: 'reserved' })
    t.ok((slot?.activePid ?? 0) > 0 && (slot?.retainedBytes ?? -1) >= 0)
    const { rows } = await control.query(
      'SELECT application_name FROM pg_stat_replication WHERE pid = $1',
      [String(slot?.activePid)],
    )
    t.same(rows, [['pontoon sync shop']])
  })

  await whole.test('workers end, subscriptions stop and go on', async (t) => {
    const before = (await readSubscription(farControl, name))?.workerPid
    t.ok((await terminateApplyWorker(farRepl, name)) > 0)
    await until(async () => {
      const pid = (await readSubscription(farControl, name))?.workerPid ?? before
      return pid !== before
    }, 'another worker')
    await disableSubscription(farRepl, name)
    await until(async () => (await readSlot(repl, name))?.isActive === false, 'nobody uses it')
    await enableSubscription(farRepl, name)
    await until(async () => (await readSlot(repl, name))?.isActive === true, 'it goes on')
    t.ok(await dropSlot(repl, name), 'also a slot in use')
    t.notOk(await dropSlot(repl, name), 'and one that is gone')
  })

  await whole.test('a subscription goes, whatever has become of its slot', async (t) => {
    t.same(await dropSubscription(farRepl, name, { keepSlot: false }), {
      existed: true,
      slotLeft: name,
    })
    t.same(await dropSubscription(farRepl, name, { keepSlot: false }), {
      existed: false,
      slotLeft: null,
    })
    const text = await conninfo(context, 'source', { task: 'sync shop' })
    const bare = { ...spec, conninfo: text, copyData: false }
    await subscribe(repl, farRepl, bare)
    t.match(await dropSubscription(farRepl, name, { keepSlot: true }), { slotLeft: name })
    t.ok(await dropSlot(repl, name), 'kept')
    await subscribe(repl, farRepl, bare)
    t.same(await dropSubscription(farRepl, name, { keepSlot: false }), {
      existed: true,
      slotLeft: null,
    })
    t.equal(await readSlot(repl, name), undefined)
    t.equal(await readSubscription(farRepl, name), undefined)
  })

  await whole.test('the way back: source verifies the target', async (t) => {
    const reverse = { service: 'shop', direction: 'reverse', receiverMajor: 15 } as const
    const probe = 'pontoon_shop_reverse_probe'
    t.match(await ensureProbePublication(farControl, reverse), { name: probe, isNew: true })
    t.match(await ensureProbePublication(farControl, reverse), { statements: [] })
    const text = await conninfo(context, 'target', { task: 'probe', subscriberMajor: 15 })
    t.match(text, `sslmode='verify-full' sslrootcert='${sourceCa}'`)
    const reverseSpec = { ...spec, name: probe, publications: [probe], publisherMajor: 18 }
    const wrongHost = text.replace("host='localhost'", "host='127.0.0.1.nip.invalid'")
    await t.rejects(subscribe(farRepl, repl, { ...reverseSpec, conninfo: wrongHost }), {
      code: 'SQL_FAILED',
      sqlstate: '08006',
      message: /not Pontoon: hostSeenFromOtherSide/,
    })
    t.equal(await readSlot(farRepl, probe), undefined, 'no slot is left of it')
    await subscribe(farRepl, repl, { ...reverseSpec, conninfo: text })
    await awaitMarker(repl, await sendMarker(farControl, 'reverse', 'probe', patience), patience)
    await pair.target.shutdown()
    t.same(await dropSubscription(repl, probe, { keepSlot: false }), {
      existed: true,
      slotLeft: probe,
    })
  })
})

await tap.test('options by version', (t) => {
  const spec = {
    name: 's',
    publications: ['p'],
    conninfo: "password='x'",
    copyData: false,
    enabled: true,
  }
  const options = (major: number, publisherMajor: number): string =>
    createSubscriptionSql(major, { ...spec, publisherMajor }).replace(/^.*enabled = true/, '')
  t.equal(options(13, 18), ')')
  t.equal(options(14, 18), ', streaming = on)')
  t.equal(options(15, 18), ', streaming = on)')
  const from16 = ', streaming = parallel'
  t.equal(options(16, 15), `${from16}, run_as_owner = true)`, '15 ignores origin')
  t.equal(options(18, 16), `${from16}, origin = none, run_as_owner = true)`)
  const stopping = { ...spec, publisherMajor: 15, disableOnError: true }
  t.match(createSubscriptionSql(15, stopping), ', streaming = on, disable_on_error = true)')
  t.match(
    createSubscriptionSql(15, { ...spec, publisherMajor: 15 }),
    `CREATE SUBSCRIPTION "s" CONNECTION 'password=''x''' PUBLICATION "p" WITH (slot_name = 's', `,
  )
  t.end()
})

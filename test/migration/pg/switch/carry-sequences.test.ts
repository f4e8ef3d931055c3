/**
 * Sequences that a TRUNCATE … RESTART IDENTITY restarts around a switch. It travels, and restarts
 * them on the other side whenever it is applied there; filled again they may well stand where they
 * stood before.
 */
import { Client } from 'pg'
import tap from 'tap'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import { awaitMarker, sendMarker } from '../../../../src/migration/pg/beats.ts'
import { findStreams } from '../../../../src/migration/pg/stream.ts'
import {
  carryAhead,
  carryDrawn,
  carryRestarted,
} from '../../../../src/migration/pg/switch/carry-sequences.ts'
import { openSides } from '../../../../src/migration/pg/switch/switch-sides.ts'
import { readSequences } from '../../../../src/migration/pg/tables.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { signalAll } from '../../../support/child-processes.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(180_000)

const rows = 100
const refillSql = `TRUNCATE records RESTART IDENTITY;
  INSERT INTO records (writer, number) SELECT 1, n FROM generate_series(1, ${rows}) n`
/** With the margin of a switch. */
const carried = [{ last: rows + 32, is_called: true }]

await tap.test('a sequence that is restarted', async (whole) => {
  const pair = await SwitchPair.start()
  whole.teardown(() => pair.stop())
  await pair.source.query(refillSql, 'shop')
  const there = (): Promise<readonly object[]> =>
    pair.target.query('SELECT last_value::int AS last, is_called FROM records_id_seq', 'shop')

  /** Nothing is applied on the target until the function that it gives is called. */
  const stopApplying = async (): Promise<() => void> => {
    const [worker] = await pair.target.query(
      "SELECT pid FROM pg_stat_subscription WHERE subname = 'pontoon_orders_forward'",
    )
    const pids = [Number(worker?.['pid'])]
    signalAll(pids, 'SIGSTOP')
    return () => signalAll(pids, 'SIGCONT')
  }

  await whole.test('while its restart is on its way', async (t) => {
    const sides = await openSides(pair.context, 'source', 'target')
    t.teardown(() => sides.close())
    const { from, to } = sides
    const sequences = await readSequences(from.watch)
    const stream = (await findStreams(to.replication, 'orders', 'forward')).at(-1)
    if (stream === undefined) throw new Error('the pair is synced')
    const plan = { sides, sequences, stream }
    const options = { timeoutMs: 30_000, signal: new AbortController().signal }

    let goOn = await stopApplying()
    await pair.source.query(refillSql, 'shop')
    const ahead = carryAhead(plan, options)
    ahead.catch(() => undefined)
    const sent = "SELECT FROM pontoon.heartbeat_forward WHERE name LIKE 'probe-%'"
    await until(async () => (await pair.source.query(sent, 'shop')).length > 0, 'it waits for it')
    goOn()
    const states = await ahead
    t.match(await there(), carried, 'what is carried ahead comes behind it')

    goOn = await stopApplying()
    await pair.source.query(refillSql, 'shop')
    const row = await sendMarker(from.control, 'forward', 'fence', options)
    const restarted = await carryDrawn(plan, states, options)
    t.match(restarted, [{ sequence: { name: 'records_id_seq' }, last: BigInt(rows) }])
    goOn()
    await awaitMarker(to.control, row, options)
    await carryRestarted(plan, restarted, options)
    t.match(await there(), carried, 'so does what is carried in the pause')
    t.same(await carryDrawn(plan, await carryAhead(plan, options), options), [])
  })

  await whole.test('between both times that a switch carries it over', async (t) => {
    const runtime = await startRuntime({
      config: pair.config,
      configFiles: [pair.configFile],
      log: createLog('error', { write: (line) => process.stderr.write(line) }),
      clock: systemClock,
      beforeStep: async (step) => {
        if (step === 'gate') await pair.source.query(refillSql, 'shop')
      },
    })
    t.teardown(() => runtime.stop('the test is over', 0))
    const asked = await fetch(`${pair.adminUrl}/v1/services/orders/cutover`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    })
    t.ok(asked.ok)
    const marked = 'SELECT primary_side FROM pontoon.mark'
    await until(
      async () => (await pair.target.query(marked, 'shop'))[0]?.['primary_side'] === 'target',
      'the writes go to the target',
      60_000,
    )
    const client = new Client(pair.url())
    await client.connect()
    const { rows: written } = await client.query(
      'INSERT INTO records (writer, number) VALUES (2, 2) RETURNING id::int',
    )
    t.same(written, [{ id: rows + 33 }], 'no value is given twice')
    await client.end()
  })
})

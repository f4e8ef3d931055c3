/**
 * What a switch that ends early, or has ended early before, leaves behind: nothing. And what one
 * that must not begin touches: nothing.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import tap from 'tap'
import { loadConfig } from '../../../../src/config/load.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime, type Runtime } from '../../../../src/control/runtime.ts'
import type { Operation } from '../../../../src/control/switches.ts'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import type { StepName } from '../../../../src/migration/pg/switch/model.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { signalAll } from '../../../support/child-processes.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

function nothing(): void {
  return undefined
}

await tap.test('a switch that ends early', async (whole) => {
  const pair = await SwitchPair.start()
  whole.teardown(() => pair.stop())
  for (const side of [pair.source, pair.target])
    await side.query(
      `BEGIN READ WRITE; CREATE SEQUENCE drawn; CREATE SEQUENCE still; CREATE SEQUENCE set_back;
       SELECT setval('set_back', 5000); COMMIT`,
      'shop',
    )
  const { config } = loadConfig([pair.configFile], {})
  let before: (step: StepName) => Promise<void> | void = nothing
  const startSidecar = (): Promise<Runtime> =>
    startRuntime({
      config,
      configFiles: [pair.configFile],
      log: createLog('error', { write: (line) => process.stderr.write(line) }),
      clock: systemClock,
      beforeStep: (step) => before(step),
    })
  let runtime = await startSidecar()
  whole.teardown(() => runtime.stop('test', 0))

  const ask = async (method: string, path: string, body: object = {}): Promise<Operation> => {
    const headers = { 'Content-Type': 'application/json' }
    const sent = method === 'GET' ? {} : { headers, body: JSON.stringify(body) }
    const answer = await fetch(`${pair.adminUrl}${path}`, { method, ...sent })
    const operation: Operation = JSON.parse(await answer.text())
    if (!answer.ok) throw new Error(JSON.stringify(operation))
    return operation
  }
  const ended = async ({ id }: Operation): Promise<Operation> => {
    let seen = await ask('GET', `/v1/operations/${id}`)
    await until(
      async () => {
        seen = await ask('GET', `/v1/operations/${id}`)
        return seen.state !== 'running'
      },
      'the end of the switch',
      60_000,
    )
    return seen
  }
  const start = (body: object = {}): Promise<Operation> =>
    ask('POST', '/v1/services/orders/cutover', body)

  await whole.test('while the way back is proven leaves no probe', async (t) => {
    const holder = new Client(pair.source.url('shop'))
    const reached = new Promise<void>((resolve) => {
      before = async (step) => {
        if (step !== 'proof') return
        // Earlier, it would be somebody who is there past Pontoon.
        await holder.connect()
        await holder.query('BEGIN; LOCK TABLE pontoon.heartbeat_reverse')
        resolve()
      }
    })
    const started = await start()
    await reached
    await ask('POST', `/v1/operations/${started.id}/abort`)
    t.equal((await ended(started)).state, 'aborted')
    before = nothing
    await holder.end()
    t.same(await pair.source.query('SELECT subname FROM pg_subscription'), [])
    t.same(await pair.target.query('SELECT slot_name FROM pg_replication_slots'), [])
  })

  await whole.test('while the proof waits for its slot leaves no probe either', async (t) => {
    const holder = new Client(pair.target.url('postgres'))
    before = async (step) => {
      if (step !== 'proof') return
      await holder.connect()
      await holder.query('BEGIN; SELECT pg_current_xact_id()')
    }
    const started = await start()
    const waiting =
      "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query ~ 'create_logical'"
    await until(async () => (await pair.target.query(waiting)).length > 0, 'it waits', 30_000)
    await ask('POST', `/v1/operations/${started.id}/abort`)
    t.match(await ended(started), { state: 'aborted', report: { reason: /aborted by/ } })
    before = nothing
    await holder.end()
    t.same(await pair.source.query('SELECT subname FROM pg_subscription'), [])
    t.same(await pair.target.query('SELECT slot_name FROM pg_replication_slots'), [])
  })

  const backAt = (): Promise<readonly object[]> =>
    pair.source.query('SELECT subname, subenabled FROM pg_subscription')

  for (const last of ['start', 'gate'] as const)
    await whole.test(`at ${last} takes the way back away that it has made ahead`, async (t) => {
      let made: readonly object[] = []
      before = async (step) => {
        if (step !== last) return
        made = await backAt()
        throw new Error('the disk is full')
      }
      const done = await ended(await start())
      before = nothing
      t.match(done, {
        state: last === 'start' ? 'refused' : 'aborted',
        report: { reason: /the disk is full/ },
      })
      t.match(made, [{ subname: 'pontoon_orders_reverse_2', subenabled: false }])
      t.same(await backAt(), [])
      t.same(await pair.target.query('SELECT slot_name FROM pg_replication_slots'), [])
    })

  await whole.test('while sequences are carried over ahead takes it away as well', async (t) => {
    const holder = new Client(pair.source.url('shop'))
    before = async (step) => {
      if (step !== 'proof') return
      await holder.connect()
      await holder.query('BEGIN; ALTER SEQUENCE still INCREMENT 2')
    }
    const started = await start()
    await until(async () => (await backAt()).length > 0, 'the way back is made', 30_000)
    const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
      AND application_name = 'pontoon switch'`
    await until(async () => (await pair.source.query(waiting)).length > 0, 'it waits for the lock')
    await ask('POST', `/v1/operations/${started.id}/abort`)
    t.match(await ended(started), { state: 'aborted', report: { reason: /aborted by/ } })
    before = nothing
    await holder.end()
    t.same(await backAt(), [])
    const complaint = /replication slot "pontoon_orders_reverse_2" does not exist/
    t.notMatch(pair.source.log(), complaint, 'what has no slot is dropped without asking for it')
    t.notMatch(pair.target.log(), complaint)
  })

  await whole.test('by an abort does not wait for those at work', async (t) => {
    const worker = new Client(pair.url())
    await worker.connect()
    await worker.query('BEGIN; SELECT 1')
    let isAtGate = false
    before = (step) => {
      if (step === 'gate') isAtGate = true
    }
    const started = await start({ deadlineMs: 60_000 })
    await until(() => isAtGate, 'the gate', 30_000)
    const abortedAtMs = performance.now()
    await ask('POST', `/v1/operations/${started.id}/abort`)
    t.match(await ended(started), { state: 'aborted', report: { reason: /aborted by/ } })
    t.ok(performance.now() - abortedAtMs < 25_000, 'at half the deadline it would end by itself')
    await worker.query('COMMIT')
    await worker.end()
  })

  await whole.test('is refused while another Pontoon switches', async (t) => {
    const other = await connectAs(pair.context, {
      side: 'target',
      purpose: 'control',
      task: 'switch',
    })
    await other.run('SELECT pg_advisory_lock(1886351988, 1937205620)')
    t.match(await ended(await start()), {
      state: 'refused',
      report: { reason: new RegExp(`target is locked by pontoon switch, pid ${other.pid} from`) },
    })
    other.close()
  })

  const stateFile = join(pair.folder, 'state', 'state.json')
  const stateBefore = readFileSync(stateFile)

  const drawingSql = `SELECT count(nextval('drawn')) FROM generate_series(1, 1000);
    SELECT setval('set_back', 5)`
  const drawnSql = `SELECT d.last_value::int AS drawn, b.last_value::int AS back,
    s.last_value::int AS still FROM drawn d, set_back b, still s`

  await whole.test('what an earlier one has left is no hindrance', async (t) => {
    await pair.target.query(
      "SELECT pg_create_logical_replication_slot('pontoon_orders_reverse_2', 'pgoutput')",
      'shop',
    )
    // An undo that could not put sync back while a database was away.
    await pair.target.query(
      'BEGIN READ WRITE; ALTER SUBSCRIPTION pontoon_orders_forward DISABLE; COMMIT',
      'shop',
    )
    const working = 'SELECT FROM pg_stat_subscription WHERE pid IS NOT NULL'
    await until(async () => (await pair.target.query(working)).length === 0, 'its worker is gone')
    // What is switched on again has none for a while.
    const [launcher] = await pair.target.query(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'logical replication launcher'",
    )
    const pids = [Number(launcher?.['pid'])]
    signalAll(pids, 'SIGSTOP')
    t.teardown(() => signalAll(pids, 'SIGCONT'))
    before = async (step) => {
      if (step === 'guards') setTimeout(() => signalAll(pids, 'SIGCONT'), 1_000)
      // Sequences have been carried over once by then.
      if (step === 'gate') await pair.source.query(drawingSql, 'shop')
    }
    const done = await ended(await start())
    before = nothing
    t.equal(done.state, 'done', done.report?.reason ?? '')
    t.match(await pair.target.query(drawnSql, 'shop'), [{ drawn: 1032, back: 37, still: 1 }])
    t.match(await pair.target.query('SELECT slot_name, active FROM pg_replication_slots'), [
      { slot_name: 'pontoon_orders_reverse_2', active: true },
    ])
    t.same(await pair.source.query('SELECT slot_name FROM pg_replication_slots'), [])
  })

  await whole.test('with a state file from before it is refused and touches nothing', async (t) => {
    await runtime.stop('test', 0)
    writeFileSync(stateFile, stateBefore)
    runtime = await startSidecar()
    t.match(await ended(await start()), { state: 'refused', report: { reason: /in doubt/ } })
    t.match(await pair.source.query('SELECT subname, subenabled FROM pg_subscription'), [
      { subname: 'pontoon_orders_reverse_2', subenabled: true },
    ])
    t.match(await pair.target.query('SELECT slot_name, active FROM pg_replication_slots'), [
      { slot_name: 'pontoon_orders_reverse_2', active: true },
    ])
  })
})

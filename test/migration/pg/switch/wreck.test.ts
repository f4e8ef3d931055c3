/**
 * What dead processes, dead statements and dead connections leave behind, and that what follows a
 * decision gets over it. switch-faults.soak.ts meets these by chance; here they are made.
 */
import { mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import tap from 'tap'
import { loadConfig } from '../../../../src/config/load.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime, type Runtime } from '../../../../src/control/runtime.ts'
import { fenceSql, readPrior } from '../../../../src/migration/pg/fence.ts'
import { connectAs } from '../../../../src/migration/pg/side-login.ts'
import type { StepName } from '../../../../src/migration/pg/switch/model.ts'
import { fenceSpec } from '../../../../src/migration/pg/switch/switch-sides.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { parseState } from '../../../../src/store/state-format.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const fences = 'SELECT count(*)::int AS fences FROM pontoon.fence'
const marks = 'SELECT epoch::int, primary_side FROM pontoon.mark'

await tap.test('a switch gets over', async (whole) => {
  const pair = await SwitchPair.start({ source: 17, target: 17, relays: true })
  whole.teardown(() => pair.stop())
  const { config } = loadConfig([pair.configFile], {})
  let before: (step: StepName) => Promise<void> | void
  const start = (): Promise<Runtime> =>
    startRuntime({
      config,
      configFiles: [pair.configFile],
      log: createLog('error', { write: () => undefined }),
      clock: systemClock,
      beforeStep: (step) => before(step),
    })
  let runtime = await start()
  whole.teardown(() => runtime.stop('test', 0))
  const stateFolder = join(pair.folder, 'state')
  const write = async (): Promise<void> => {
    const client = new Client(pair.url())
    await client.connect()
    await client.query('INSERT INTO records (writer, number) VALUES (1, 1)')
    await client.end()
  }
  whole.beforeEach(() => {
    before = () => undefined
  })

  await whole.test('a fence of its own that comes after its undo', async (t) => {
    const late = new Client({
      connectionString: pair.source.url('shop', 'control', 'control'),
      application_name: 'pontoon switch',
    })
    late.on('error', () => undefined)
    const control = await connectAs(pair.context, {
      side: 'source',
      purpose: 'control',
      task: 'test',
    })
    const spec = fenceSpec(pair.context, 'source')
    const sql = fenceSql(spec, await readPrior(control, spec))
    control.close()
    before = async (step) => {
      if (step === 'fence') throw new Error('the statement is given up')
      if (step !== 'undo') return
      // The server has got it all the same, and is not done with it.
      await late.connect()
      await late.query(`BEGIN; ${sql}`)
    }
    t.match(await runSwitch(pair.adminUrl, 'cutover'), { state: 'aborted' })
    await t.rejects(late.query('COMMIT'), 'its backend was ended')
    t.match(await pair.source.query(fences, 'shop'), [{ fences: 0 }])
    await write()
  })

  await whole.test('a state file that cannot be written when all is undone', async (t) => {
    const inTheWay = join(stateFolder, 'state.json.tmp')
    before = (step) => {
      if (step === 'fence') throw new Error('broken')
      if (step !== 'undo') return
      mkdirSync(inTheWay)
      // Clients have gone on, and only the record of the switch is still there.
      void write().finally(() => rmdirSync(inTheWay))
    }
    t.match(await runSwitch(pair.adminUrl, 'cutover'), { state: 'aborted' })
  })

  await whole.test('one of its connections that cannot be opened', async (t) => {
    const switching = `SELECT pid FROM pg_stat_activity WHERE application_name = 'pontoon switch'`
    await pair.target.query("ALTER ROLE control PASSWORD 'another'")
    // The others are still on their way when it fails.
    pair.network?.sides.source.delay(300)
    t.match(await runSwitch(pair.adminUrl, 'cutover'), {
      state: 'refused',
      report: { reason: /password/ },
    })
    await until(
      async () => (await pair.source.query(switching)).length === 0,
      'the others are closed',
    )
    pair.network?.sides.source.heal()
    await pair.target.query("ALTER ROLE control PASSWORD 'control'")
  })

  await whole.test('a crash that would take back what the roles have set', async (t) => {
    await pair.source.query('ALTER ROLE control SET synchronous_commit = off')
    const control = await connectAs(pair.context, {
      side: 'source',
      purpose: 'control',
      task: 'test',
    })
    t.equal(await control.value('SHOW synchronous_commit'), 'on')
    const { rows } = await control.query(
      `SELECT current_setting('tcp_keepalives_idle'), current_setting('tcp_keepalives_interval'),
         current_setting('tcp_keepalives_count')`,
    )
    t.same(rows, [['10', '5', '3']], 'nor would the locks of a host that dies stay for two hours')
    control.close()
  })

  await whole.test('a side that is silent when it is looked at again', async (t) => {
    const locker = new Client(pair.source.url('shop', 'control', 'control'))
    await locker.connect()
    t.teardown(() => locker.end())
    before = async (step) => {
      // Nothing else of a switch reads this catalog behind its guards.
      if (step === 'fence')
        await locker.query('BEGIN READ WRITE; LOCK TABLE pg_inherits IN ACCESS EXCLUSIVE MODE')
    }
    const deadlineMs = 2_000
    const switched = runSwitch(pair.adminUrl, 'cutover', { deadlineMs })
    // Ends a wait that has no end.
    const late = setTimeout(() => void locker.query('ROLLBACK'), 20_000)
    const { state, report } = await switched
    clearTimeout(late)
    t.match({ state, reason: report?.reason }, { state: 'aborted', reason: /within 2000 ms/ })
    t.ok((report?.pauseMs ?? Number.POSITIVE_INFINITY) < deadlineMs + 10_000, 'clients were let on')
    await locker.query('ROLLBACK')
    await write()
  })

  await whole.test('a side that was down when it was to be told', async (t) => {
    const done = await runSwitch(pair.adminUrl, 'cutover')
    t.equal(done.state, 'done', done.report?.reason ?? '')
    t.match(await pair.source.query(marks, 'shop'), [{ epoch: 2, primary_side: 'target' }])
    await pair.source.query(
      "BEGIN READ WRITE; UPDATE pontoon.mark SET epoch = 1, primary_side = 'source'; COMMIT",
      'shop',
    )
    before = async (step) => {
      if (step !== 'start') return
      t.match(await pair.source.query(marks, 'shop'), [{ primary_side: 'target' }])
    }
    const back = await runSwitch(pair.adminUrl, 'rollback')
    t.equal(back.state, 'done', back.report?.reason ?? '')
    t.match(await pair.source.query(marks, 'shop'), [{ epoch: 3, primary_side: 'source' }])
  })

  await whole.test('the end of its process while a side is away', async (t) => {
    const file = join(stateFolder, 'state.json')
    const isOver = (): boolean => parseState(readFileSync(file, 'utf8'), file).switches.size === 0
    await pair.target.query('BEGIN READ WRITE; UPDATE pontoon.mark SET epoch = 1; COMMIT', 'shop')
    let isUndoing = false
    before = async (step) => {
      if (step === 'fence') throw new Error('broken')
      if (step !== 'undo') return
      await pair.target.query("ALTER ROLE control PASSWORD 'another'")
      isUndoing = true
    }
    // Its answer goes with the process.
    runSwitch(pair.adminUrl, 'cutover').catch(() => undefined)
    await until(() => isUndoing, 'the undo', 30_000)
    await write()
    await runtime.stop('test', 0)
    t.notOk(isOver(), 'the next process has something to go on with')
    before = () => undefined
    await pair.target.query("ALTER ROLE control PASSWORD 'control'")
    runtime = await start()
    await until(isOver, 'the next process has finished it', 30_000)
    t.match(await pair.target.query(marks, 'shop'), [{ epoch: 3, primary_side: 'source' }])
  })
})

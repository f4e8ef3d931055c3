/** What becomes of the servers that nobody has while the gate is shut, and of who is no client of ours. */
import { Client } from 'pg'
import tap from 'tap'
import { loadConfig } from '../../../../src/config/load.ts'
import { createLog } from '../../../../src/control/logging.ts'
import { startRuntime } from '../../../../src/control/runtime.ts'
import type { StepName } from '../../../../src/migration/pg/switch/model.ts'
import { systemClock } from '../../../../src/shared/clock.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { SwitchPair } from '../../../support/switch-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const pidSql = 'SELECT pg_backend_pid() AS pid'

await tap.test('servers at rest', async (whole) => {
  const pair = await SwitchPair.start({ source: 17, target: 17, poolSize: 1 })
  whole.teardown(() => pair.stop())
  const { config } = loadConfig([pair.configFile], {})
  let before: ((step: StepName) => Promise<void>) | null = null
  const runtime = await startRuntime({
    config,
    configFiles: [pair.configFile],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
    beforeStep: (step) => before?.(step),
  })
  whole.teardown(() => runtime.stop('test', 0))
  const client = new Client(pair.url())
  await client.connect()
  whole.teardown(() => client.end())
  const serverPid = async (): Promise<number> =>
    (await client.query<{ pid: number }>(pidSql)).rows[0]?.pid ?? 0
  const isAlive = async (pid: number): Promise<boolean> => {
    const sql = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE pid = ${pid}`
    return (await pair.source.query<{ count: number }>(sql))[0]?.count === 1
  }

  await whole.test('are there again after an undo; a stranger is not', async (t) => {
    const pid = await serverPid()
    const stranger = new Client(pair.source.url('shop', 'app', 'app'))
    const ended: Error[] = []
    stranger.on('error', (error) => ended.push(error))
    before = async (step) => {
      if (step === 'fence') await stranger.connect()
      if (step !== 'applied') return
      t.equal(await isAlive(pid), true, 'ours need not end')
      await until(() => ended.length > 0, 'the stranger was ended')
      throw new Error('broken')
    }
    t.match(await runSwitch(pair.adminUrl, 'cutover'), { state: 'aborted' })
    t.equal(await serverPid(), pid, 'the same server goes on')
    await client.query('INSERT INTO records (writer, number) VALUES (1, 1)')
  })

  await whole.test('are closed once the writes have moved', async (t) => {
    const pid = await serverPid()
    before = null
    const done = await runSwitch(pair.adminUrl, 'cutover')
    t.equal(done.state, 'done', done.report?.reason ?? '')
    await client.query('INSERT INTO records (writer, number) VALUES (1, 2)')
    const [row] = await pair.target.query<{ count: number }>(
      'SELECT count(*)::int AS count FROM records WHERE number = 2',
      'shop',
    )
    t.equal(row?.count, 1, 'on the other side')
    await until(async () => !(await isAlive(pid)), 'the old server is gone')
  })
})

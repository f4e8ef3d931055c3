/** Forced switches in the place of one that waits for a side that is lost; see forced.test.ts. */
import tap, { type Test } from 'tap'
import { pontoon } from '../../../cli/capture.ts'
import { controlQuery } from '../../../support/control-query.ts'
import {
  forced,
  lossOf,
  startForcedSwitches,
  stateOf,
  type ForcedSwitches,
} from '../../../support/forced-switches.ts'
import { startWriters } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('in the place of a switch', async (whole) => {
  await whole.test('that was committed, and whose new side never opened', async (t) => {
    const made = await startForcedSwitches(t)
    const { pair } = made
    const writers = await startWriters({ url: pair.url(), writers: 4, createTable: false })
    await writers.untilAcknowledged(100)
    let isDead = false
    made.before = async (step) => {
      if (step !== 'unfence' || isDead) return
      await pair.target.query("ALTER ROLE control PASSWORD 'forgotten'")
      await pair.target.kill9()
      isDead = true
    }
    const stuck = runSwitch(pair.adminUrl, 'cutover')
    await until(() => isDead, 'the target is dead', 30_000)
    t.equal(stateOf(pair).switches.get('orders')?.state, 'committed')
    await t.rejects(runSwitch(pair.adminUrl, 'rollback'), /SWITCH_RUNNING/)
    const done = await forced(pair, 'rollback')
    t.equal(done.state, 'done', done.report?.reason ?? '')
    t.match(lossOf(done), /nothing is lost/)
    t.match(await stuck, { state: 'failed', stepText: /has taken the place/ })
    await writers.untilAcknowledged(50)
    const report = await writers.stop({ checkUrl: pair.source.url('shop') })
    t.match(report, { lost: [], duplicated: [], unexpected: [] })
    t.match(stateOf(pair).routes.get('orders'), { epoch: 3, primary: 'source', reads: 0 })
    t.equal(stateOf(pair).switches.size, 0)
    await isSetUpAnew(t, made)
  })

  await whole.test('that was forced: it goes on when its new side is back', async (t) => {
    const made = await startForcedSwitches(t)
    const { pair } = made
    const writers = await startWriters({ url: pair.url(), writers: 2, createTable: false })
    await writers.untilAcknowledged(50)
    await pair.source.kill9()
    let isDead = false
    made.before = async (step) => {
      if (step !== 'unfence' || isDead) return
      await pair.target.kill9()
      isDead = true
    }
    const stuck = forced(pair, 'cutover')
    await until(() => isDead, 'the target is dead too', 30_000)
    await pair.source.restart()
    made.before = async (step) => {
      if (step === 'commit') await pair.target.restart()
    }
    const givenUp = await forced(pair, 'rollback')
    t.match(givenUp, { state: 'aborted', report: { reason: /the target is back/ } })
    t.match(await stuck, { state: 'failed', stepText: /has taken the place/ })
    await writers.untilAcknowledged(50)
    t.match(await writers.stop({ checkUrl: pair.target.url('shop') }), {
      duplicated: [],
      unexpected: [],
    })
    t.match(stateOf(pair).routes.get('orders'), { epoch: 2, primary: 'target' })
    await until(() => stateOf(pair).switches.size === 0, 'it is over', 30_000)
  })
})

/** The target of the test above: told once Pontoon is let in, then made a copy again. */
async function isSetUpAnew(t: Test, { pair, logged }: ForcedSwitches): Promise<void> {
  await pair.target.restart()
  const complaints = (): string[] => logged.filter((line) => line.includes('is not fenced yet'))
  await until(() => complaints().length > 0, 'the log says that it cannot be fenced', 15_000)
  await pair.target.query("ALTER ROLE control PASSWORD 'control'")
  await until(
    () => logged.some((line) => line.includes('is back and was fenced')),
    'it is told',
    15_000,
  )
  t.match(complaints(), [/the target.*answers again.*password/], 'once')
  t.match(await runSwitch(pair.adminUrl, 'cutover'), {
    state: 'refused',
    report: { reason: /has left the target.*pontoon copy/ },
  })
  await controlQuery(pair.target, 'BEGIN READ WRITE; TRUNCATE accounts, records; COMMIT')
  const synced = await pontoon(['sync', 'orders', '--config', pair.configFile], {})
  t.equal(synced.exit, 0, synced.out + synced.err)
  await until(
    async () => (await runSwitch(pair.adminUrl, 'cutover')).state === 'done',
    'the cutover is done once the tables are synced',
    30_000,
  )
}

/** A side that a forced switch has left is no copy, also where nobody could tell it so yet. */
import tap from 'tap'
import { forced, startForcedSwitches, stateOf } from '../../../support/forced-switches.ts'
import { startWriters } from '../../../support/record-client.ts'
import { runSwitch } from '../../../support/switch-operation.ts'

tap.setTimeout(170_000)

await tap.test('a forced switch back to a side that was left and not told', async (t) => {
  const { pair } = await startForcedSwitches(t)
  // It makes the way back, which stays.
  const armed = await runSwitch(pair.adminUrl, 'cutover', { dryRun: true })
  t.equal(armed.state, 'done', armed.report?.reason ?? '')
  await pair.source.kill9()
  const cutover = await forced(pair, 'cutover')
  t.equal(cutover.state, 'done', cutover.report?.reason ?? '')
  const writers = await startWriters({ url: pair.url(), writers: 2, createTable: false })
  await writers.untilAcknowledged(50)
  // Nobody can ask the target whom it has left.
  await pair.target.kill9()
  await pair.source.restart()
  const back = await forced(pair, 'rollback')
  t.match(back, { state: 'refused', report: { reason: /the source .*left by a forced switch/ } })
  t.equal(stateOf(pair).routes.get('orders')?.primary, 'target')
  await pair.target.restart()
  await writers.untilAcknowledged(20, 60_000)
  t.match(await writers.stop({ checkUrl: pair.target.url('shop') }), { lost: [], duplicated: [] })
})

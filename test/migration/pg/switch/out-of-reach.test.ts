/** What is said where an ordinary switch cannot go on because the side that takes the writes is away. */
import tap from 'tap'
import { runCommandLine } from '../../../../src/cli/run.ts'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { startForcedSwitches, write } from '../../../support/forced-switches.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const named = (kind: string, side: string): RegExp =>
  new RegExp(
    `the ${side}, which takes the writes, cannot be reached: .*Bring the ${side} back[^]*lost for ` +
      `good: pontoon ${kind} orders --primary-lost[^]*Not while it may come back`,
  )

await tap.test('a switch without the side that takes the writes', async (whole) => {
  const switches = await startForcedSwitches(whole)
  const { pair } = switches
  const ask = (kind: 'cutover' | 'rollback'): Promise<Captured> =>
    pontoon([kind, 'orders', '--admin', pair.adminUrl], {})

  await whole.test('that is away before it', async (t) => {
    await pair.target.shutdown()
    const other = await ask('cutover')
    t.equal(other.exit, 3)
    t.notMatch(other.out, /primary-lost/, 'the other side only has to come back')
    await pair.target.restart()
    await pair.source.kill9()
    const refused = await ask('cutover')
    t.equal(refused.exit, 3)
    t.match(refused.out, named('cutover', 'source'))
    await pair.source.restart()
  })

  await whole.test('that goes amid its conditions', async (t) => {
    switches.before = async (step) => {
      if (step === 'publication') await pair.source.kill9()
    }
    const refused = await ask('cutover')
    switches.before = () => undefined
    t.equal(refused.exit, 3)
    t.match(refused.out, named('cutover', 'source'))
    await pair.source.restart()
  })

  await whole.test('that goes in the pause, which waits for it', async (t) => {
    switches.before = async (step) => {
      if (step === 'applied') await pair.source.kill9()
    }
    let said = ''
    const args = ['cutover', 'orders', '--admin', pair.adminUrl]
    const err = (text: string): void => void (said += text)
    const begun = runCommandLine(args, {}, { out: () => undefined, err })
    const isWaiting = async (): Promise<boolean> => {
      const answer = await fetch(`${pair.adminUrl}/v1/services/orders`)
      return /"step":"undo"/.test(await answer.text())
    }
    await until(isWaiting, 'it is being undone', 30_000)
    switches.before = () => undefined
    const second = await ask('cutover')
    t.match(
      second.err,
      /is aborting; if it does not end, it waits for the source[^]*cutover orders --primary-lost/,
    )
    t.match(second.err, /Not while it may come back/)
    await until(() => /waits for the source/.test(said), 'who looks on is told', 30_000)
    t.match(said, /Bring the source back[^]*cutover orders --primary-lost[^]*Not while/)
    await pair.source.restart()
    t.equal(await begun, 4)
    await write(pair)
  })

  await whole.test('of a rollback', async (t) => {
    t.equal((await runSwitch(pair.adminUrl, 'cutover')).state, 'done')
    await pair.target.kill9()
    const refused = await ask('rollback')
    t.equal(refused.exit, 3)
    t.match(refused.out, named('rollback', 'target'))
    await pair.target.restart()
  })
})

/** How long clients wait for a forced switch, and a switch for its place; see forced.test.ts. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from 'pg'
import tap from 'tap'
import type { Operation } from '../../../../src/control/switches.ts'
import { forced, startForcedSwitches, write } from '../../../support/forced-switches.ts'
import { runSwitch } from '../../../support/switch-operation.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

await tap.test('a state file that could not be written when the switch was given up', async (t) => {
  const made = await startForcedSwitches(t)
  const { pair } = made
  const inTheWay = join(pair.folder, 'state', 'state.json.tmp')
  let isDead = false
  made.before = async (step) => {
    if (step !== 'applied' || isDead) return
    await pair.source.kill9()
    mkdirSync(inTheWay)
    isDead = true
  }
  const stuck = runSwitch(pair.adminUrl, 'cutover', {}, 120_000)
  await until(
    () => made.logged.some((line) => line.includes('undone although the store')),
    'it is undone without the store',
    60_000,
  )
  rmSync(inTheWay, { recursive: true })
  let done: Operation | undefined
  await until(async () => {
    try {
      done = await forced(pair, 'cutover')
      return true
    } catch (error) {
      if (!String(error).includes('not decided yet')) throw error
      return false
    }
  }, 'the store hears of it once it can be written')
  t.equal(done?.state, 'done', done?.report?.reason ?? '')
  t.match(await stuck, { state: 'failed', stepText: /has taken the place/ })
})

await tap.test('clients wait for all steps behind the commit together', async (t) => {
  const made = await startForcedSwitches(t)
  const { pair } = made
  await pair.source.kill9()
  let goOn = nothing
  const mayGoOn = new Promise<void>((resolve) => (goOn = resolve))
  let isHanging = false
  made.before = async (step) => {
    if (step !== 'sequences') return
    isHanging = true
    await mayGoOn
  }
  const asked = forced(pair, 'cutover')
  await until(() => isHanging, 'a step hangs')
  const client = new Client({ connectionString: pair.url() })
  client.on('error', () => undefined)
  await t.rejects(client.connect(), 'they are told that something is wrong')
  goOn()
  const done = await asked
  t.equal(done.state, 'done', done.report?.reason ?? '')
  await write(pair)
})

function nothing(): void {
  return undefined
}

/** A watch runs for months: what each of its looks leaves behind adds up. */
import { getEventListeners } from 'node:events'
import tap from 'tap'
import { WatchLoops } from '../../src/control/watch-loops.ts'

const never = new Promise<never>(() => undefined)

void tap.test('looks leave nothing behind', async (t) => {
  const loops = new WatchLoops()
  for (let look = 0; look < 20; look += 1) {
    t.equal(await loops.orStopped(Promise.resolve(look)), look)
    await t.rejects(loops.orStopped(Promise.reject(new Error('away'))), /away/)
  }
  t.same(getEventListeners(loops.signal, 'abort'), [])
})

void tap.test('a stop ends waits and does not wait for looks', async (t) => {
  const loops = new WatchLoops()
  const found: unknown[] = []
  const follow = async (work: Promise<unknown>): Promise<void> => {
    found.push(await loops.orStopped(work))
    await loops.pause(60_000)
    found.push('over')
  }
  loops.start([follow(never), follow(Promise.resolve('looked'))])
  await new Promise(setImmediate)
  await loops.stop()
  t.same(found, ['looked', null, 'over', 'over'])
  t.equal(await loops.orStopped(never), null, 'nor is one begun afterwards')
})

void tap.test('node takes many loops for no leak', async (t) => {
  const warnings: Error[] = []
  const note = (warning: Error): void => void warnings.push(warning)
  process.on('warning', note)
  t.teardown(() => process.off('warning', note))
  const loops = new WatchLoops()
  loops.start(Array.from({ length: 20 }, () => loops.pause(60_000)))
  await loops.stop()
  // Warnings are told in a later turn.
  await new Promise(setImmediate)
  t.same(warnings, [])
})

/** How fast a copy may read. */
import tap from 'tap'
import { Throttle } from '../../../../src/migration/pg/copy/throttle.ts'

const clockAt = () => {
  const time = { ms: 0 }
  return { time, clock: { nowMs: () => time.ms, wallMs: () => time.ms } }
}

await tap.test('without a limit nobody waits', async (t) => {
  const throttle = new Throttle(clockAt().clock)
  t.equal(throttle.pace(1e12), null)
  throttle.pause()
  const held = throttle.pace(1)
  t.ok(held instanceof Promise)
  throttle.resume()
  await held
  t.equal(throttle.pace(1), null)
})

await tap.test('a rate is shared, and a wait lasts until it is kept', async (t) => {
  const { time, clock } = clockAt()
  const throttle = new Throttle(clock, 1_000_000)
  t.equal(throttle.pace(10_000), null, 'too short to wait')
  const first = throttle.pace(90_000)
  const second = throttle.pace(100_000)
  let ended = ''
  void first?.then(() => (ended += 'a'))
  void second?.then(() => (ended += 'b'))
  time.ms = 170
  await Promise.race([first, second, new Promise((resolve) => setImmediate(resolve))])
  t.equal(ended, '', 'both wait for all that was read')
  time.ms = 200
  await Promise.all([first, second])
})

await tap.test('the brake halves what is measured and lets go again', async (t) => {
  const { time, clock } = clockAt()
  const throttle = new Throttle(clock)
  void throttle.pace(20_000_000)
  time.ms = 1_000
  throttle.brake('a standby is late')
  t.equal(throttle.allowed, 10_000_000)
  time.ms = 2_000
  throttle.brake('a standby is late')
  t.equal(throttle.allowed, 1_000_000, 'never to nothing')
  void throttle.pace(900_000)
  time.ms = 3_000
  throttle.brake(null)
  t.equal(throttle.allowed, 1_250_000)
  time.ms = 4_000
  throttle.brake(null)
  t.equal(throttle.allowed, Number.POSITIVE_INFINITY, 'something else is slower')
})

await tap.test('the brake says why, and never lets more through than was asked for', async (t) => {
  const { time, clock } = clockAt()
  const throttle = new Throttle(clock, 500_000)
  for (const late of ['a standby is late', null, null]) {
    time.ms += 1_000
    throttle.brake(late)
    t.equal(throttle.allowed, 500_000)
    t.equal(throttle.brakedBy, late)
  }
})

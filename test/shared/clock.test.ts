import t from 'tap'
import { EventClock } from '../../src/shared/clock.ts'

void t.test('time stands still within an event and runs outside of one', (test) => {
  let nowMs = 5
  const clock = new EventClock({ nowMs: () => nowMs, wallMs: () => 1_000 + nowMs })
  test.equal(clock.nowMs(), 5)
  clock.hold()
  nowMs = 6
  test.equal(clock.nowMs(), 6, 'the moment of an event is when it is first asked for')
  nowMs = 7
  test.equal(clock.nowMs(), 6)
  clock.release()
  test.equal(clock.nowMs(), 7)
  clock.hold()
  test.equal(clock.nowMs(), 7)
  test.equal(clock.wallMs(), 1_007)
  test.end()
})

/** How evenly src/routing/balance.ts deals positions. */
import { array, assert, nat, property } from 'fast-check'
import t from 'tap'
import { SessionDealer } from '../../src/routing/balance.ts'
import type { Seat } from '../../src/routing/balance.ts'

const percents = [1, 5, 10, 25, 50, 75, 90, 100]

function below(seats: Iterable<Seat>, percent: number): number {
  let count = 0
  for (const { position } of seats) if (position < percent / 100) count++
  return count
}

await t.test('ten sessions at 10% give exactly one', async (test) => {
  const dealer = new SessionDealer()
  const seats = Array.from({ length: 10 }, () => dealer.take())
  test.equal(below(seats, 10), 1)
  test.equal(below(seats, 0), 0)
  test.equal(below(seats, 100), 10)
})

await t.test('any number of sessions is split as the percentage says', async (test) => {
  const dealer = new SessionDealer()
  const seats: Seat[] = []
  let worst = 0
  for (let live = 1; live <= 200; live++) {
    seats.push(dealer.take())
    for (const percent of percents) {
      worst = Math.max(worst, Math.abs(below(seats, percent) - (live * percent) / 100))
    }
  }
  test.ok(worst < 2, `off by ${worst.toFixed(2)} at most`)
})

await t.test('sessions that come and go keep the split', async (test) => {
  assert(
    property(array(nat(999), { minLength: 50, maxLength: 400 }), (choices) => {
      const dealer = new SessionDealer()
      const seats: Seat[] = []
      let most = 0
      for (const choice of choices) {
        const [gone] = choice % 3 === 0 ? seats.splice(choice % Math.max(1, seats.length), 1) : []
        if (gone === undefined) seats.push(dealer.take())
        else dealer.leave(gone)
        most = Math.max(most, seats.length)
      }
      const indices = new Set(seats.map(({ index }) => index))
      if (indices.size !== seats.length || dealer.live !== seats.length) return false
      // Nobody sits beyond the busiest moment, and who comes next fills the lowest gap.
      if (seats.some(({ index }) => index > most)) return false
      const next = dealer.take().index
      for (let index = 1; index < next; index++) if (!indices.has(index)) return false
      return !indices.has(next)
    }),
    { interruptAfterTimeLimit: 1_500, numRuns: 2_000 },
  )
  test.pass('held')
})

await t.test('a seat keeps its position and is given again after it was left', async (test) => {
  const dealer = new SessionDealer()
  const [first, second, third] = [dealer.take(), dealer.take(), dealer.take()]
  dealer.leave(second)
  dealer.leave(first)
  test.same(dealer.take(), first)
  test.same(dealer.take(), second)
  test.equal(dealer.take().index, third.index + 1)
  for (const { position } of [first, second, third]) test.ok(position >= 0 && position < 1)
})

await t.test('a seat cannot be left twice', async (test) => {
  const dealer = new SessionDealer()
  const seat = dealer.take()
  dealer.leave(seat)
  test.throws(() => dealer.leave(seat))
})

/** The queue of a pool: a place is used again and again, and left from anywhere. */
import { array, assert, constantFrom, nat, property, tuple } from 'fast-check'
import t from 'tap'
import { PoolQueue, QueuePlace, refuseSoon } from '../../src/net/pool-queue.ts'
import { PontoonError } from '../../src/shared/errors.ts'

class Waiter {
  readonly name: number
  readonly refusals: string[] = []
  readonly place: QueuePlace<never>

  constructor(name: number) {
    this.name = name
    this.place = new QueuePlace(this)
  }

  onServer(): boolean {
    return true
  }

  onRefused(error: PontoonError): void {
    this.refusals.push(error.code)
  }
}

const refusal = new PontoonError('POOL_QUEUE_FULL', 'full')

void t.test('it is a line, whoever joins, leaves and is served in any order', (test) => {
  const step = tuple(constantFrom('join', 'leave', 'shift'), nat(5))
  assert(
    property(array(step, { maxLength: 60 }), (steps) => {
      const waiters = Array.from({ length: 6 }, (_, name) => new Waiter(name))
      const queue = new PoolQueue<never>()
      const line: number[] = []
      steps.forEach(([what, name], now) => {
        const waiter = waiters[name]
        if (waiter === undefined) return
        const isThere = line.includes(name)
        if (what === 'join' && !isThere) {
          queue.join(waiter.place, now, now + 10)
          line.push(name)
        } else if (what === 'leave') {
          waiter.place.leave()
          if (isThere) line.splice(line.indexOf(name), 1)
        } else if (what === 'shift') test.equal(queue.shift(), waiters[line.shift() ?? -1] ?? null)
        if (queue.size !== line.length) throw new Error('size')
        const first = waiters[line[0] ?? -1]?.place.sinceMs ?? null
        if (queue.sinceMs !== first) throw new Error('first')
      })
    }),
    { numRuns: 300 },
  )
  test.end()
})

void t.test('who is turned away hears it later, unless they have left or joined', async (test) => {
  const [told, left, joined] = [new Waiter(0), new Waiter(1), new Waiter(2)]
  const queue = new PoolQueue<never>()
  for (const { place } of [told, left, joined]) refuseSoon(place, refusal)
  test.strictSame(told.refusals, [], 'not while it asks')
  left.place.leave()
  joined.place.leave()
  queue.join(joined.place, 0, 10)
  await Promise.resolve()
  test.strictSame(told.refusals, ['POOL_QUEUE_FULL'])
  test.strictSame(left.refusals, [])
  test.strictSame(joined.refusals, [])
  test.equal(queue.shift(), joined)
})

void t.test('the late are refused, the others stay', (test) => {
  const [late, early] = [new Waiter(0), new Waiter(1)]
  const queue = new PoolQueue<never>()
  queue.join(late.place, 0, 10)
  queue.join(early.place, 5, 15)
  queue.refuseLate(10, () => refusal)
  test.strictSame([late.refusals, early.refusals, queue.size], [['POOL_QUEUE_FULL'], [], 1])
  queue.join(late.place, 11, 21)
  queue.refuse(refusal, 5)
  test.strictSame([early.refusals, queue.size], [['POOL_QUEUE_FULL'], 1], 'the younger one stays')
  test.end()
})

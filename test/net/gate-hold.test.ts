/** The gate held for a switch, or in doubt: who may open it, and how the parked ones go. */
import t from 'tap'
import { Gate } from '../../src/net/gate.ts'
import type { GatePlace } from '../../src/net/gate-lines.ts'
import { until } from '../support/pontoon.ts'

const clock = { nowMs: () => 0, wallMs: () => 0 }

/** Somewhere with `free` places; who goes there takes one. */
function placeOf(free: number): GatePlace & { free: number } {
  return {
    free,
    room() {
      return this.free
    },
  }
}

void t.test('only its holder opens a held gate', async (test) => {
  const gate = new Gate(clock)
  gate.pause(20, 'an operator')
  const hold = gate.hold('cutover of orders')
  const released: string[] = []
  gate.park(() => released.push('a'))
  const refusal = { code: 'GATE_REFUSED', message: /cutover of orders/ }
  test.throws(() => gate.open(), refusal)
  test.throws(() => gate.pause(60_000, 'again'), refusal)
  test.throws(() => gate.hold('another switch'), refusal)
  gate.doubt('a server that names the other side')
  test.match(gate.snapshot(), { keptBy: 'switch', reason: 'cutover of orders', opensInMs: null })
  test.ok(hold.isInForce)

  // The pause ends by its own deadline, which changes nothing.
  const after = new Gate(clock)
  after.pause(40, 'opens later than the other pause')
  await until(() => after.isOpen, 'a later pause to end')
  test.notOk(gate.isOpen)
  test.strictSame(released, [])
  hold.release()
  test.ok(gate.isOpen)
  test.strictSame(released, ['a'])
  test.notOk(hold.isInForce)
})

void t.test('a pause in force when a switch begins is in force after it', (test) => {
  const gate = new Gate(clock)
  gate.pause(60_000, 'maintenance')
  const hold = gate.hold('cutover of orders')
  hold.release({ gradually: true })
  test.match(gate.snapshot(), { state: 'paused', keptBy: 'pause', reason: 'maintenance' })
  hold.release()
  test.notOk(gate.isOpen, 'a hold that is over opens nothing')
  gate.hold('the next one').release()
  test.notOk(gate.isOpen)
  gate.open()
  test.ok(gate.isOpen)
  test.end()
})

void t.test('a doubt stays until an operator ends it, or a switch settles it', (test) => {
  const gate = new Gate(clock)
  gate.doubt('the mark names the target')
  gate.doubt('the mark names the target, again')
  const expected = { keptBy: 'doubt', reason: 'the mark names the target', opensInMs: null }
  test.match(gate.snapshot(), expected)
  gate.pause(60_000, 'a pause on top')
  test.match(gate.snapshot(), expected)
  gate.hold('aborted').release()
  test.match(gate.snapshot(), expected)
  gate.open()
  test.ok(gate.isOpen, 'the pause is over as well')
  gate.doubt('again')
  gate.hold('carried out').release({ settlesDoubt: true })
  test.ok(gate.isOpen)
  test.end()
})

void t.test('released gradually, each line goes as there is room in its place', (test) => {
  const gate = new Gate(clock)
  const [busy, free] = [placeOf(1), placeOf(9)]
  const hold = gate.hold('cutover of orders')
  const released: string[] = []
  const park = (name: string, place: typeof busy): (() => void) =>
    gate.park(() => {
      place.free -= 1
      test.ok(gate.admits(place), 'who is let through is not stopped again')
      released.push(name)
    }, place)
  park('a', busy)
  park('b', busy)
  const leave = park('gone', busy)
  park('c', busy)
  park('d', free)
  leave()
  hold.release({ gradually: true })
  test.strictSame(released, ['a', 'd'])
  test.ok(gate.isOpen)
  test.notOk(gate.admits(busy), 'nobody overtakes those who wait')
  test.ok(gate.admits(free))
  test.ok(gate.admits())
  park('e', busy)
  busy.free += 1
  gate.letOn(busy)
  test.strictSame(released, ['a', 'd', 'b'])
  gate.pause(60_000, 'in between')
  busy.free += 9
  gate.letOn()
  test.equal(released.length, 3, 'a gate that is shut again lets nobody on')
  gate.open()
  test.strictSame(released, ['a', 'd', 'b', 'c', 'e'])
  test.ok(gate.admits(busy))
  test.end()
})

void t.test('all go when the service ends, whatever keeps the gate shut', (test) => {
  const gate = new Gate(clock)
  gate.pause(60_000, 'maintenance')
  const hold = gate.hold('cutover of orders')
  const released: string[] = []
  gate.park(() => released.push('a'))
  gate.openForGood()
  test.strictSame(released, ['a'])
  test.notOk(hold.isInForce)
  const late = new Gate(clock)
  const full = placeOf(0)
  const other = late.hold('cutover of orders')
  late.park(() => released.push('b'), full)
  other.release({ gradually: true })
  late.openForGood()
  test.strictSame(released, ['a', 'b'], 'also who waits for room')
  test.end()
})

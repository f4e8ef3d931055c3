/** The gate: a lease in memory that parks in order and never stays closed for good. */
import t from 'tap'
import { Gate } from '../../src/net/gate.ts'
import { until } from '../support/pontoon.ts'

function setUp(): {
  gate: Gate
  released: string[]
  pauses: number[]
  move: (ms: number) => void
  park: (name: string) => () => void
} {
  let now = 0
  const pauses: number[] = []
  const released: string[] = []
  const clock = { nowMs: () => now, wallMs: () => now }
  const gate = new Gate(clock, (pausedMs) => pauses.push(pausedMs))
  return {
    gate,
    released,
    pauses,
    move: (ms) => (now += ms),
    park: (name) => gate.park(() => released.push(name)),
  }
}

void t.test('parked sessions are released in order of arrival, each once', (test) => {
  const { gate, released, park } = setUp()
  gate.pause(60_000, 'test')
  park('a')
  const leave = park('b')
  park('c')
  leave()
  leave()
  test.equal(gate.snapshot().parked, 2)
  gate.open()
  test.strictSame(released, ['a', 'c'])
  gate.open()
  test.strictSame(released, ['a', 'c'], 'opening twice releases nobody twice')
  test.equal(gate.snapshot().parked, 0)
  test.end()
})

void t.test('who is told to go while others are released does not run', (test) => {
  const { gate, released } = setUp()
  gate.pause(60_000, 'test')
  const leaves: (() => void)[] = []
  gate.park(() => {
    released.push('a')
    for (const leave of leaves) leave()
  })
  leaves.push(gate.park(() => released.push('b')))
  gate.open()
  test.strictSame(released, ['a'])
  test.end()
})

void t.test('who parks again while being released waits for the next opening', (test) => {
  const { gate, released, park } = setUp()
  gate.pause(60_000, 'test')
  gate.park(() => {
    gate.pause(60_000, 'again')
    park('a')
  })
  gate.open()
  test.notOk(gate.isOpen)
  test.strictSame(released, [])
  gate.open()
  test.strictSame(released, ['a'])
  test.end()
})

void t.test('an open gate parks nobody', (test) => {
  const { gate, park } = setUp()
  test.throws(() => park('a'))
  test.throws(() => gate.pause(0, 'no time'))
  test.end()
})

void t.test('the snapshot tells how long and why', (test) => {
  const { gate, pauses, move } = setUp()
  test.match(gate.snapshot(), { state: 'open', opensInMs: 0, reason: '' })
  gate.pause(60_000, 'first')
  move(100)
  gate.pause(30_000, 'second')
  move(50)
  test.strictSame(gate.snapshot(), {
    state: 'paused',
    keptBy: 'pause',
    parked: 0,
    pausedForMs: 150,
    opensInMs: 29_950,
    reason: 'second',
  })
  gate.open()
  test.strictSame(pauses, [150], 'a renewed pause is one pause')
  test.end()
})

void t.test('it opens by itself at its deadline', async (test) => {
  const { gate, released, park } = setUp()
  gate.pause(60_000, 'long')
  gate.pause(30, 'the later deadline counts')
  park('a')
  await until(() => gate.isOpen, 'the gate to open')
  test.strictSame(released, ['a'])
})

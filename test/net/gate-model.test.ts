/** The gate under every order of events that a scheduler can think of. */
import * as fc from 'fast-check'
import t from 'tap'
import { Gate, type GateHold } from '../../src/net/gate.ts'
import { Drains } from '../../src/proxy/drains.ts'

type Move = 'arrive' | 'pause' | 'resume' | 'leave'

const moves = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constant<Move>('arrive') },
    fc.constantFrom<Move>('pause', 'resume', 'leave'),
  ),
  { maxLength: 40 },
)

void t.test('nobody is lost, overtaken or let through a drained gate', async (test) => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), moves, async (scheduler, script) => {
      let active = 0
      let isDrained = false
      const drains = new Drains({ isDrained: () => active === 0 })
      const gate = new Gate({ nowMs: () => 0, wallMs: () => 0 }, () => {
        isDrained = false
        drains.look()
      })
      const parked: { readonly id: number; readonly leave: () => void }[] = []
      const expected = new Set<number>()
      const ran: number[] = []
      const released: number[] = []

      const run = (id: number): void => {
        if (isDrained) throw new Error(`${id} ran after the drain was reported`)
        active += 1
        ran.push(id)
        void (async () => {
          await scheduler.schedule(Promise.resolve(), `${id} ends`)
          active -= 1
          drains.look()
        })()
      }
      const arrive = (id: number): void => {
        expected.add(id)
        if (gate.isOpen) {
          run(id)
          return
        }
        const leave = gate.park(() => {
          const first = parked.shift()
          if (first?.id !== id) throw new Error(`${id} has overtaken ${first?.id ?? 'nobody'}`)
          released.push(id)
          run(id)
        })
        parked.push({ id, leave })
      }
      const pause = async (): Promise<void> => {
        gate.pause(60_000, 'model')
        await drains.wait(60_000, () => gate.isOpen)
        if (active === 0 && !gate.isOpen) isDrained = true
      }
      const reports: Promise<void>[] = []
      for (const [id, move] of script.entries()) {
        void (async () => {
          await scheduler.schedule(Promise.resolve(), move)
          if (move === 'arrive') arrive(id)
          else if (move === 'pause') reports.push(pause())
          else if (move === 'resume') gate.open()
          else {
            const [left] = parked.splice(parked.length >> 1, 1)
            left?.leave()
            if (left !== undefined) expected.delete(left.id)
          }
        })()
      }
      await scheduler.waitAll()
      gate.open()
      await scheduler.waitAll()
      await Promise.all(reports)
      if (active !== 0 || parked.length > 0 || gate.snapshot().parked > 0)
        throw new Error('somebody is still there')
      if (ran.length !== expected.size || ran.some((id) => !expected.has(id)))
        throw new Error(`ran ${ran.join()} of ${[...expected].join()}`)
      if (new Set(released).size !== released.length) throw new Error('somebody was released twice')
    }),
    { numRuns: 300, interruptAfterTimeLimit: 10_000 },
  )
  test.pass('no counterexample')
})

type HoldMove = 'arrive' | 'leave' | 'end' | Step
type Step = 'pause' | 'resume' | 'doubt' | 'hold' | 'release' | 'settle' | 'gradually'

const steps: readonly Step[] = [
  'pause',
  'resume',
  'doubt',
  'hold',
  'release',
  'settle',
  'gradually',
]

const holdMoves = fc.array(
  fc.record({
    move: fc.oneof(
      { weight: 5, arbitrary: fc.constant<HoldMove>('arrive') },
      { weight: 3, arbitrary: fc.constantFrom<HoldMove>('end', 'leave') },
      { weight: 5, arbitrary: fc.constantFrom<HoldMove>(...steps) },
    ),
    at: fc.nat(1),
  }),
  { maxLength: 60 },
)

/** What keeps the gate shut, as three facts; the gate must be shut when any of them is true. */
class Keepers {
  hold: GateHold | null = null
  isPaused = false
  isDoubted = false
  readonly #gate: Gate

  constructor(gate: Gate) {
    this.#gate = gate
  }

  get isShut(): boolean {
    return this.hold !== null || this.isPaused || this.isDoubted
  }

  endAll(): void {
    this.hold = null
    this.isPaused = false
    this.isDoubted = false
  }

  /** Tries what the model says must be refused, too. */
  do(step: Step): void {
    const isHeld = this.hold !== null
    try {
      this.#step(step)
    } catch (error) {
      if (!isHeld || !String(error).includes('the gate is held')) throw error
      return
    }
    if (isHeld && (step === 'pause' || step === 'hold' || step === 'resume'))
      throw new Error(`${step} during a switch`)
  }

  #step(step: Step): void {
    switch (step) {
      case 'pause':
        this.#gate.pause(60_000, 'model')
        this.isPaused = true
        return
      case 'resume':
        if (this.hold === null) this.endAll()
        this.#gate.open()
        return
      case 'doubt':
        this.#gate.doubt('model')
        if (this.hold === null) this.isDoubted = true
        return
      case 'hold':
        this.hold = this.#gate.hold('model')
        return
      default: {
        const { hold } = this
        if (hold === null) return
        this.hold = null
        if (step === 'settle') this.isDoubted = false
        hold.release({ gradually: step === 'gradually', settlesDoubt: step === 'settle' })
      }
    }
  }
}

function holdModel(script: readonly { move: HoldMove; at: number }[]): void {
  const gate = new Gate({ nowMs: () => 0, wallMs: () => 0 })
  const keepers = new Keepers(gate)
  const active = [0, 0]
  const places = active.map((_, at) => ({ room: () => 2 - (active[at] ?? 0) }))
  const lines: { id: number; leave: () => void }[][] = [[], []]
  const gone = new Set<number>()
  const ran = new Set<number>()
  const run = (id: number, at: number): void => {
    if (keepers.isShut) throw new Error(`${id} ran through a gate that is shut`)
    if (ran.has(id) || gone.has(id)) throw new Error(`${id} ran and should not`)
    ran.add(id)
    active[at] = (active[at] ?? 0) + 1
  }
  let arrived = 0
  const arrive = (at: number): void => {
    const id = arrived++
    const [place, line] = [places[at], lines[at]]
    if (place === undefined || line === undefined) return
    if (gate.admits(place)) {
      if (line.length > 0) throw new Error(`${id} has overtaken a line`)
      run(id, at)
      return
    }
    const leave = gate.park(() => {
      if (line.shift()?.id !== id) throw new Error(`${id} has overtaken somebody`)
      run(id, at)
    }, place)
    line.push({ id, leave })
  }
  for (const { move, at } of script) {
    if (move === 'arrive') arrive(at)
    else if (move === 'leave') {
      const line = lines[at] ?? []
      const [left] = line.splice(line.length >> 1, 1)
      left?.leave()
      if (left !== undefined) gone.add(left.id)
    } else if (move === 'end') {
      active[at] = Math.max(0, (active[at] ?? 0) - 1)
      gate.letOn(places[at])
    } else keepers.do(move)
    if (gate.isOpen === keepers.isShut) throw new Error(`open: ${String(gate.isOpen)} at ${move}`)
    for (const [index, line] of lines.entries())
      if (gate.isOpen && line.length > 0 && (active[index] ?? 0) < 2)
        throw new Error('somebody waits although there is room')
  }
  keepers.endAll()
  gate.openForGood()
  if (ran.size + gone.size !== arrived) throw new Error('somebody was lost')
  if (gate.snapshot().parked > 0) throw new Error('somebody is still there')
}

void t.test('whatever keeps it shut, nobody runs, is lost, or is overtaken in a line', (test) => {
  fc.assert(fc.property(holdMoves, holdModel), { numRuns: 2_000, interruptAfterTimeLimit: 10_000 })
  test.pass('no counterexample')
  test.end()
})

void t.test('one that fails when released does not keep the others', (test) => {
  const released: string[] = []
  const gate = new Gate({ nowMs: () => 0, wallMs: () => 0 })
  gate.pause(60_000, 'test')
  gate.park(() => released.push('a'))
  gate.park(() => {
    throw new Error('a bug of b')
  })
  gate.park(() => released.push('c'))
  test.throws(() => gate.open(), { message: 'a bug of b' })
  test.strictSame(released, ['a', 'c'])
  test.ok(gate.isOpen)
  test.end()
})

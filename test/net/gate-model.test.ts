/** The gate under every order of events that a scheduler can think of. */
import * as fc from 'fast-check'
import t from 'tap'
import { Gate } from '../../src/net/gate.ts'
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

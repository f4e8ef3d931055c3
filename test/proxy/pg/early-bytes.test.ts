/** Bytes that come in any pieces come out the same. */
import { array, assert, nat, property, uint8Array } from 'fast-check'
import t from 'tap'
import { EarlyBytes } from '../../../src/proxy/pg/early-bytes.ts'

void t.test('whatever the pieces, what is peeked at and given up is what came', (test) => {
  assert(
    property(array(uint8Array({ maxLength: 30 }), { maxLength: 600 }), nat(100), (pieces, step) => {
      const early = new EarlyBytes()
      const all = Buffer.concat(pieces)
      let dropped = 0
      for (const piece of pieces) {
        early.append(Buffer.concat([piece, Buffer.from('not of it')]), piece.length)
        const found = early.peek(step)
        if (found === null || step > early.length) continue
        if (!found.subarray(0, step).equals(all.subarray(dropped, dropped + step))) return false
        early.drop(step)
        dropped += step
      }
      const { length } = early
      return length === all.length - dropped && early.takeAll().equals(all.subarray(dropped))
    }),
    { numRuns: 200, interruptAfterTimeLimit: 2_000 },
  )
  test.end()
})

void t.test('too few bytes, and none', (test) => {
  const early = new EarlyBytes()
  test.equal(early.peek(1), null)
  test.equal(early.peek(0)?.length, 0)
  early.append(Buffer.from('abc'), 2)
  test.equal(early.peek(3), null)
  test.equal(early.peek(2)?.toString(), 'ab')
  test.equal(early.takeAll().toString(), 'ab')
  test.equal(early.length, 0)
  test.end()
})

/** The bounds of src/routing/verdict-cache.ts, and what it keeps. */
import { array, assert, nat, property } from 'fast-check'
import t from 'tap'
import { VerdictCache } from '../../src/routing/verdict-cache.ts'

await t.test('what is used stays, what is not goes', async (test) => {
  const cache = new VerdictCache<number>({ entriesMax: 10, bytesMax: 1_000 })
  cache.set('used', 1)
  for (let n = 0; n < 100; n++) {
    cache.set(`once ${n}`, n)
    test.equal(cache.get('used'), 1)
  }
  test.equal(cache.get('once 99'), 99)
  test.equal(cache.get('once 1'), undefined)
})

await t.test('a text as large as half the cache is not kept', async (test) => {
  const cache = new VerdictCache<number>({ entriesMax: 10, bytesMax: 100 })
  cache.set('small', 1)
  cache.set('x'.repeat(26), 2)
  test.equal(cache.get('x'.repeat(26)), undefined)
  test.equal(cache.get('small'), 1)
})

await t.test('never holds more than its limits, and never the wrong value', async (test) => {
  const limits = { entriesMax: 16, bytesMax: 400 }
  assert(
    property(array(nat(60), { maxLength: 300 }), (keys) => {
      const cache = new VerdictCache<number>(limits)
      for (const key of keys) {
        const text = `${key}`.repeat(1 + (key % 7))
        const found = cache.get(text)
        if (found !== undefined && found !== key) return false
        cache.set(text, key)
        if (cache.entries > limits.entriesMax || cache.bytes > limits.bytesMax) return false
        if (cache.get(text) !== key) return false
      }
      cache.clear()
      return cache.entries === 0 && cache.bytes === 0
    }),
    { interruptAfterTimeLimit: 1_500, numRuns: 3_000 },
  )
  test.pass('held')
})

/** Short and long ranges take different ways; both must do what Buffer's own methods do. */
import { assert as check, integer, property, record, uint8Array } from 'fast-check'
import t from 'tap'
import { bytesOf, copyBytes, equalBytes } from '../../src/shared/bytes.ts'

const sized = integer({ min: 0, max: 600 }).chain((length) =>
  record({
    bytes: uint8Array({ minLength: length, maxLength: length }).map((made) => Buffer.from(made)),
    start: integer({ min: 0, max: length }),
    pad: integer({ min: 0, max: 5 }),
  }),
)

const copies = property(sized, ({ bytes, start, pad }) => {
  const into = Buffer.alloc(bytes.length + 2 * pad, 0xee)
  const expected = Buffer.from(into)
  bytes.copy(expected, pad, start, bytes.length)
  copyBytes(bytes, start, bytes.length, into, pad)
  return into.equals(expected) && bytesOf(bytes, start, bytes.length).equals(bytes.subarray(start))
})

const compares = property(sized, ({ bytes, start, pad }) => {
  const range = Buffer.from(bytes.subarray(start))
  if (!equalBytes(bytes, start, bytes.length, range)) return false
  const longer = Buffer.concat([range, Buffer.alloc(1)])
  if (equalBytes(bytes, start, bytes.length, longer)) return false
  if (range.length === 0) return true
  const at = (pad * 131) % range.length
  range[at] = (range[at] ?? 0) ^ 1
  return !equalBytes(bytes, start, bytes.length, range)
})

void t.test('a range is copied to its place and nowhere else', (test) => {
  test.doesNotThrow(() => check(copies))
  test.end()
})

void t.test('a range equals another when every byte does', (test) => {
  test.doesNotThrow(() => check(compares))
  test.end()
})

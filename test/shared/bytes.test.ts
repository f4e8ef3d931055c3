/** Short and long ranges take different ways; both must do what Buffer's own methods do. */
import fc from 'fast-check'
import t from 'tap'
import { bytesOf, copyBytes, equalBytes } from '../../src/shared/bytes.ts'

const sized = fc.integer({ min: 0, max: 600 }).chain((length) =>
  fc.record({
    bytes: fc.uint8Array({ minLength: length, maxLength: length }).map((made) => Buffer.from(made)),
    start: fc.integer({ min: 0, max: length }),
    pad: fc.integer({ min: 0, max: 5 }),
  }),
)

void t.test('a range is copied to its place and nowhere else', (test) => {
  const run = (): void =>
    fc.assert(
      fc.property(sized, ({ bytes, start, pad }) => {
        const into = Buffer.alloc(bytes.length + 2 * pad, 0xee)
        const expected = Buffer.from(into)
        bytes.copy(expected, pad, start, bytes.length)
        copyBytes(bytes, start, bytes.length, into, pad)
        return (
          into.equals(expected) && bytesOf(bytes, start, bytes.length).equals(bytes.subarray(start))
        )
      }),
    )
  test.doesNotThrow(run)
  test.end()
})

void t.test('a range equals another when every byte does', (test) => {
  const run = (): void =>
    fc.assert(
      fc.property(sized, ({ bytes, start, pad }) => {
        const range = Buffer.from(bytes.subarray(start))
        if (!equalBytes(bytes, start, bytes.length, range)) return false
        if (equalBytes(bytes, start, bytes.length, Buffer.concat([range, Buffer.alloc(1)])))
          return false
        if (range.length === 0) return true
        const at = (pad * 131) % range.length
        range[at] = (range[at] ?? 0) ^ 1
        return !equalBytes(bytes, start, bytes.length, range)
      }),
    )
  test.doesNotThrow(run)
  test.end()
})

import * as fc from 'fast-check'
import t from 'tap'
import { nearest } from '../../src/config/nearest.ts'
import { substitute } from '../../src/config/substitute.ts'

const env = { A: 'one', EMPTY: '', TRICKY: '${A} $$ $&' }

const cases: readonly (readonly [text: string, expected: string])[] = [
  ['', ''],
  ['plain', 'plain'],
  ['${A}', 'one'],
  ['<${A}|${A}>', '<one|one>'],
  ['$A $ $', '$A $ $'],
  ['$$', '$'],
  ['$${A}', '${A}'],
  ['$$${A}', '$one'],
  ['${TRICKY}', '${A} $$ $&'],
  ['${A:-x}', 'one'],
  ['${NONE:-x y}', 'x y'],
  ['${NONE:-}', ''],
  ['${EMPTY:-x}', 'x'],
  ['[${EMPTY}]', '[]'],
]

void t.test('replaces what is a placeholder and leaves the rest', async (test) => {
  for (const [text, expected] of cases) {
    const result = substitute(text, env)
    test.equal(result.text, expected, JSON.stringify(text))
    test.strictSame([...result.missing, ...result.malformed], [], JSON.stringify(text))
  }
})

void t.test('tells what is missing, malformed, and the whole text', async (test) => {
  test.match(substitute('${X} ${A} ${Y}', env), { missing: ['X', 'Y'], names: ['X', 'A', 'Y'] })
  test.match(substitute('${} ${1} ${a b} ${open', env), {
    malformed: ['${}', '${1}', '${a b}', '${open'],
    text: '${} ${1} ${a b} ${open',
  })
  test.equal(substitute('${A}', env).whole, true)
  for (const text of [' ${A}', '${A}${A}', '$$', 'x']) {
    test.equal(substitute(text, env).whole, false, text)
  }
})

void t.test('whatever a variable holds is what comes out, and $$ protects any text', async () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const escaped = value.split('$').join('$$')
      return (
        substitute('${V}', { V: value }).text === value && substitute(escaped, {}).text === value
      )
    }),
  )
})

void t.test('suggests what was meant, and nothing where nothing is near', async (test) => {
  const known = ['queueMax', 'queueTimeoutMs', 'size', 'mode']
  const words: readonly (readonly [string, string | undefined])[] = [
    ['siez', 'size'],
    ['Size', 'size'],
    ['queue_max', 'queueMax'],
    ['queue-timeout-ms', 'queueTimeoutMs'],
    ['queueTimout', 'queueTimeoutMs'],
    ['mod', 'mode'],
    ['host', undefined],
    ['', undefined],
    ['x'.repeat(10_000), undefined],
  ]
  for (const [word, expected] of words)
    test.equal(nearest(word, known), expected, word.slice(0, 20))
})

/** Replies framed whole, byte by byte and at every split. */
import {
  array,
  assert,
  constantFrom,
  integer,
  letrec,
  oneof,
  property,
  string,
  tuple,
} from 'fast-check'
import type { Arbitrary } from 'fast-check'
import t from 'tap'
import { ReplyFramer } from '../../../src/wire/redis/reply-framer.ts'

function frame(chunks: readonly Buffer[]): string[] {
  const framer = new ReplyFramer()
  const found: string[] = []
  let held = ''
  for (const chunk of chunks) {
    const bytes = Buffer.concat([chunk, Buffer.from('+STALE\r\n:1\r\n')])
    let offset = 0
    for (;;) {
      const end = framer.next(bytes, offset, chunk.length)
      held += bytes.toString('latin1', offset, end < 0 ? chunk.length : end)
      if (end < 0) break
      found.push(held)
      held = ''
      offset = end
    }
  }
  if (held !== '') found.push(`… ${held}`)
  return found
}

const replies: readonly string[] = [
  '+OK\r\n',
  '+\r\n',
  '-ERR wrong\r\n',
  ':-12\r\n',
  '$5\r\nhello\r\n',
  '$0\r\n\r\n',
  '$-1\r\n',
  '$4\r\n\r\n\r\n\r\n',
  '*0\r\n',
  '*-1\r\n',
  '*2\r\n$1\r\na\r\n*2\r\n:1\r\n$-1\r\n',
  '*1\r\n*1\r\n*1\r\n*0\r\n',
  '_\r\n',
  '#t\r\n',
  ',3.14\r\n',
  ',inf\r\n',
  '(3492890328409238509324850943850943825024385\r\n',
  '!21\r\nSYNTAX invalid syntax\r\n',
  '=15\r\ntxt:Some string\r\n',
  '%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n_\r\n',
  '~3\r\n+a\r\n#f\r\n:1\r\n',
  '>3\r\n+message\r\n+ch\r\n$1\r\nx\r\n',
  '*2\r\n>3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\nx\r\n:1\r\n:2\r\n',
  '*1\r\n>4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$2\r\nch\r\n$1\r\nx\r\n:1\r\n',
  '*1\r\n>3\r\n$8\r\nsmessage\r\n$2\r\nch\r\n$7\r\nxxxxxxx\r\n:1\r\n',
  '*1\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n+OK\r\n',
  '*2\r\n>3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n:2\r\n',
  '*1\r\n>3\r\n$10\r\npsubscribe\r\n$1\r\n*\r\n:1\r\n',
  '|1\r\n+ttl\r\n:3600\r\n*1\r\n|1\r\n+a\r\n+b\r\n:5\r\n',
]

void t.test('every kind of reply, alone, split and one behind the other', (test) => {
  for (const reply of replies) {
    const bytes = Buffer.from(reply)
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    test.same(frame([bytes]), [reply])
    test.same(frame(single), [reply])
    for (let at = 1; at < bytes.length; at += 1)
      test.same(frame([bytes.subarray(0, at), bytes.subarray(at)]), [reply])
  }
  test.same(frame([Buffer.from(replies.join(''))]), replies)
  test.end()
})

void t.test('the type is that of the reply, not of its parts', (test) => {
  const framer = new ReplyFramer()
  const bytes = Buffer.from('-ERR x\r\n>2\r\n+a\r\n-b\r\n')
  const end = framer.next(bytes, 0, bytes.length)
  test.equal(framer.type, 0x2d)
  framer.next(bytes, end, bytes.length)
  test.equal(framer.type, 0x3e)
  test.end()
})

void t.test('nesting of any depth needs no memory', (test) => {
  const depth = 100_000
  const bytes = Buffer.from(`${'*1\r\n'.repeat(depth)}:1\r\n`)
  test.equal(new ReplyFramer().next(bytes, 0, bytes.length), bytes.length)
  test.end()
})

void t.test('what no server sends', (test) => {
  const refused = [
    'X\r\n',
    '\r\n',
    '$x\r\n',
    '*1a\r\n',
    '$\r\n',
    '*999999999999999999999\r\n',
    '*?\r\n',
  ]
  for (const text of refused) {
    test.throws(() => frame([Buffer.from(text)]), { code: 'SERVER_PROTOCOL' }, JSON.stringify(text))
  }
  const deep = '*281474976710000\r\n'.repeat(2)
  test.throws(() => frame([Buffer.from(deep)]), { code: 'SERVER_PROTOCOL' })
  test.end()
})

const { value } = letrec<{ value: string; leaf: string; list: string }>((tie) => ({
  value: oneof({ depthSize: 'small' }, tie('leaf'), tie('list')),
  leaf: oneof(
    constantFrom('+OK\r\n', ':1\r\n', '_\r\n', '$-1\r\n', '-ERR\r\n'),
    string({ maxLength: 20 }).map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`),
  ),
  list: tuple(constantFrom('*', '~'), array(tie('value'), { maxLength: 4 })).map(
    ([kind, items]) => `${kind}${items.length}\r\n${items.join('')}`,
  ),
}))

void t.test('any replies in any chunks', (test) => {
  const sizes: Arbitrary<number[]> = array(integer({ min: 1, max: 20 }), { minLength: 1 })
  assert(
    property(array(value, { maxLength: 6 }), sizes, (all, steps) => {
      const bytes = Buffer.from(all.join(''))
      const chunks: Buffer[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const size = steps[turn % steps.length] ?? 1
        chunks.push(bytes.subarray(at, at + size))
        at += size
      }
      const found = frame(chunks)
      const expected = all.map((one) => Buffer.from(one).toString('latin1'))
      return found.length === all.length && found.every((one, index) => one === expected[index])
    }),
    { interruptAfterTimeLimit: 3_000 },
  )
  test.end()
})

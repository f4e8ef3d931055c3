/** Commands framed whole, byte by byte and at every split; wrong ones in the server's words. */
import { array, assert, boolean, integer, property, uint8Array } from 'fast-check'
import t from 'tap'
import { readArgument, readArguments, splitInline } from '../../../src/wire/redis/arguments.ts'
import { CommandFramer } from '../../../src/wire/redis/command-framer.ts'
import { command } from '../../../src/wire/redis/write.ts'

interface Found {
  readonly text: string
  readonly name: string
  readonly count: number
}

/** Feeds the chunks one after the other, behind stale bytes of an earlier read. */
function frame(chunks: readonly Buffer[]): Found[] {
  const framer = new CommandFramer()
  const found: Found[] = []
  let held = Buffer.alloc(0)
  for (const chunk of chunks) {
    const bytes = Buffer.concat([chunk, Buffer.from('*1\r\n$4\r\nPING\r\n$9\r\n0000000')])
    let offset = 0
    for (;;) {
      const end = framer.next(bytes, offset, chunk.length)
      held = Buffer.concat([held, bytes.subarray(offset, end < 0 ? chunk.length : end)])
      if (end < 0) break
      const { nameStart, nameLength, argumentCount } = framer
      const name = nameLength < 0 ? '' : held.toString('latin1', nameStart, nameStart + nameLength)
      found.push({ text: held.toString('latin1'), name, count: argumentCount })
      held = Buffer.alloc(0)
      offset = end
    }
  }
  return found
}

function everySplit(bytes: Buffer): Buffer[][] {
  const splits = Array.from({ length: bytes.length + 1 }, (_, at) => [
    bytes.subarray(0, at),
    bytes.subarray(at),
  ])
  const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
  return [[bytes], single, ...splits]
}

const big = 'x'.repeat(300)

const cases: Readonly<Record<string, readonly [text: string, names: readonly string[]]>> = {
  ping: ['*1\r\n$4\r\nPING\r\n', ['PING']],
  'two at once': ['*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n', ['PING', 'GET']],
  'empty arguments': ['*3\r\n$3\r\nSET\r\n$0\r\n\r\n$0\r\n\r\n', ['SET']],
  'line ends in a value': ['*2\r\n$3\r\nGET\r\n$7\r\na\r\n*1\r\n\r\n', ['GET']],
  'a longer value': [`*2\r\n$4\r\nECHO\r\n$300\r\n${big}\r\n`, ['ECHO']],
  inline: ['PING\r\nset a  b\n', ['', '']],
  'an empty line': ['\r\n*1\r\n$4\r\nPING\r\n', ['', 'PING']],
  'no arguments': ['*0\r\n*-1\r\n*-10\r\n*1\r\n$4\r\nPING\r\n', ['', '', '', 'PING']],
  'an empty name': ['*1\r\n$0\r\n\r\n', ['']],
}

for (const [name, [text, names]] of Object.entries(cases)) {
  void t.test(name, (test) => {
    const whole = frame([Buffer.from(text)])
    test.same(
      whole.map((one) => one.name),
      names,
    )
    for (const chunks of everySplit(Buffer.from(text))) {
      const lengths = chunks.map((chunk) => chunk.length).join('+')
      test.same(frame(chunks), whole, lengths)
    }
    test.equal(whole.map((one) => one.text).join(''), text, 'no byte is lost')
    test.end()
  })
}

const refused: Readonly<Record<string, readonly [text: string, words: string]>> = {
  'a count that is no number': ['*a\r\n', 'invalid multibulk length'],
  'a count with a plus': ['*+1\r\n', 'invalid multibulk length'],
  'a count with a leading zero': ['*01\r\n', 'invalid multibulk length'],
  'no count': ['*\r\n', 'invalid multibulk length'],
  'a count beyond INT_MAX': ['*2147483648\r\n', 'invalid multibulk length'],
  'a count beyond 64 bits': ['*99999999999999999999999\r\n', 'invalid multibulk length'],
  'no dollar': ['*1\r\nPING\r\n', "expected '$', got 'P'"],
  'a negative length': ['*1\r\n$-1\r\n', 'invalid bulk length'],
  'a length that is no number': ['*1\r\n$x\r\n', 'invalid bulk length'],
  'a length beyond 512 MB': ['*1\r\n$536870913\r\n', 'invalid bulk length'],
  'a blank in a length': ['*1\r\n$4 \r\n', 'invalid bulk length'],
  'an endless count': [`*${'1'.repeat(65_537)}`, 'too big mbulk count string'],
  'an endless length': [`*1\r\n$${'1'.repeat(65_537)}`, 'too big bulk count string'],
  'an endless line': ['x'.repeat(65_539), 'too big inline request'],
}

for (const [name, [text, words]] of Object.entries(refused)) {
  void t.test(name, (test) => {
    const bytes = Buffer.from(text)
    const message = `Protocol error: ${words}`
    test.throws(() => frame([bytes]), { code: 'CLIENT_PROTOCOL', message })
    const single = Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))
    test.throws(() => frame(single.length > 1_000 ? [bytes] : single), { message })
    test.end()
  })
}

void t.test('a value of 512 MB is followed without being held', (test) => {
  const framer = new CommandFramer()
  const head = Buffer.from('*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n')
  test.equal(framer.next(head, 0, head.length), -1)
  test.equal(framer.announcedBytes, head.length + 536_870_912 + 2)
  const part = Buffer.alloc(1 << 20)
  for (let left = 512; left > 0; left -= 1) test.equal(framer.next(part, 0, part.length), -1)
  test.equal(framer.next(Buffer.from('\r\n'), 0, 2), 2)
  test.equal(framer.argumentCount, 3)
  test.end()
})

function outcome(parts: readonly Buffer[]): string {
  try {
    return JSON.stringify(frame(parts))
  } catch (error) {
    return String(error)
  }
}

function split(text: string): string[] | undefined {
  return splitInline(Buffer.from(text, 'latin1'))?.map((one) => one.toString('latin1'))
}

const words = array(uint8Array({ maxLength: 40 }), { minLength: 1, maxLength: 6 })

void t.test('any commands in any chunks', (test) => {
  assert(
    property(array(words, { maxLength: 8 }), array(integer({ min: 1, max: 30 })), (all, sizes) => {
      const commands = all.map((one) => command(...one.map((bytes) => Buffer.from(bytes))))
      const bytes = Buffer.concat(commands)
      const chunks: Buffer[] = []
      for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
        const size = sizes.length === 0 ? bytes.length : (sizes[turn % sizes.length] ?? 1)
        chunks.push(bytes.subarray(at, at + size))
        at += size
      }
      const found = frame(chunks)
      return (
        found.length === commands.length &&
        found.every((one, index) => one.text === commands[index]?.toString('latin1'))
      )
    }),
    { interruptAfterTimeLimit: 3_000 },
  )
  test.end()
})

void t.test('any bytes end or are refused', (test) => {
  const oneOf = '*$-0123456789\r\nPINGab'
  const noise = array(integer({ min: 0, max: oneOf.length - 1 }), { maxLength: 60 })
  assert(
    property(noise, boolean(), (picks, isSplit) => {
      const bytes = Buffer.from(picks.map((pick) => oneOf.charCodeAt(pick)))
      const chunks = isSplit ? Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)) : [bytes]
      const [one, other] = [outcome(chunks), outcome([bytes])]
      return one === other
    }),
    { interruptAfterTimeLimit: 3_000 },
  )
  test.end()
})

void t.test('arguments of a command', (test) => {
  const bytes = Buffer.concat([Buffer.from('xx'), command('SET', 'key', '', 'a\r\nb')])
  const found = readArguments(bytes, 2, bytes.length).map(String)
  test.same(found, ['SET', 'key', '', 'a\r\nb'])
  test.equal(readArgument(bytes, 2, bytes.length, 3)?.toString(), 'a\r\nb')
  test.equal(readArgument(bytes, 2, bytes.length, 4), null)
  test.end()
})

void t.test('words of an inline command', (test) => {
  test.same(split('  set  a\tb \r\n'), ['set', 'a', 'b'])
  test.same(split('set "a b" \'c "d\\\'\' ""\n'), ['set', 'a b', 'c "d\'', ''])
  test.same(split('echo "\\x41\\n\\q\\\\"\n'), ['echo', 'A\nq\\'])
  test.same(split('\r\n'), [])
  test.equal(split('set "a\n'), undefined)
  test.equal(split("set 'a\n"), undefined)
  test.equal(split('set "a"b\n'), undefined)
  test.end()
})

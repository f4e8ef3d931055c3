/** What a server says in COPY TO STDOUT, whole, byte by byte and at every split. */
import tap from 'tap'
import { CopyOutReader } from '../../../src/net/pg/copy-out.ts'
import { message } from '../../../src/wire/pg/write.ts'

const row = (text: string): Buffer => message(0x64, Buffer.from(text))
const rows = [row('1\ta\n'), row(''), row('x'.repeat(300)), row('2\tb\n')]
const stream = Buffer.concat([
  message(0x48, Buffer.from([0, 0, 0])),
  rows[0] ?? Buffer.alloc(0),
  message(0x4e, Buffer.from('SNOTICE\0\0')),
  ...rows.slice(1),
  message(0x63, Buffer.alloc(0)),
  message(0x43, Buffer.from('COPY 4\0')),
  message(0x5a, Buffer.from('I')),
])

function read(pieces: readonly Buffer[]) {
  const data: Buffer[] = []
  const control: string[] = []
  const reader = new CopyOutReader({
    data: (bytes, start, end) => data.push(Buffer.from(bytes.subarray(start, end))),
    control: (type, body) => control.push(`${String.fromCharCode(type)}${body.length}`),
  })
  for (const piece of pieces) {
    // Within a larger buffer, as a socket reads.
    const around = Buffer.concat([Buffer.from('dddd'), piece, Buffer.from('cccc')])
    reader.receive(around, 4, 4 + piece.length)
  }
  return { data: Buffer.concat(data), control, messages: reader.messages }
}

await tap.test('rows go on as they are, all else is told', async (t) => {
  const want = {
    data: Buffer.concat(rows),
    control: ['H3', 'N9', 'c0', 'C7', 'Z1'],
    messages: 4,
  }
  t.same(read([stream]), want, 'whole')
  t.same(read([...stream].map((byte) => Buffer.from([byte]))), want, 'byte by byte')
  for (let at = 1; at < stream.length; at += 1)
    t.same(read([stream.subarray(0, at), stream.subarray(at)]), want, `split at ${at}`)
})

await tap.test('a wrong length is refused', async (t) => {
  for (const type of ['d', 'C']) {
    const wrong = Buffer.concat([Buffer.from(type), Buffer.from([0, 0, 0, 3, 0])])
    t.throws(() => read([wrong]), { code: 'SERVER_PROTOCOL' })
    t.throws(() => read([wrong.subarray(0, 3), wrong.subarray(3)]), { code: 'SERVER_PROTOCOL' })
  }
  const long = Buffer.concat([Buffer.from('E'), Buffer.from([0x7f, 0, 0, 0])])
  t.throws(() => read([long]), { code: 'SERVER_PROTOCOL' }, 'never allocated')
})

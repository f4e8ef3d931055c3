/** Decoders against bytes that are wrong in every way. */
import { assert, constantFrom, oneof, property, tuple, uint8Array } from 'fast-check'
import t from 'tap'
import { PontoonError } from '../../../src/shared/errors.ts'
import {
  readError,
  readNegotiatedMinor,
  readParameterStatus,
  readStartupPacket,
  readTextRow,
} from '../../../src/wire/pg/read.ts'
import { dataRow, errorResponse, parameterStatus } from '../../support/pg-backend.ts'
import {
  cancelRequest,
  gssEncRequest,
  int32,
  sslRequest,
  startup,
  text,
} from '../../support/pg-frontend.ts'

const withoutLength = (packet: Buffer): Buffer => packet.subarray(4)
const withoutHeader = (message: Buffer): Buffer => message.subarray(5)
const clientError = { name: 'PontoonError', code: 'CLIENT_PROTOCOL' }
const serverError = { name: 'PontoonError', code: 'SERVER_PROTOCOL' }

void t.test('a startup packet', (test) => {
  const packet = startup({ user: 'anna', database: 'orders', options: '-c a=b', Ü: 'é' })
  const found = readStartupPacket(withoutLength(packet))
  test.match(found, { kind: 'startup', minor: 0 })
  if (found.kind !== 'startup') throw new Error('not a startup packet')
  test.strictSame(
    [...found.parameters],
    [
      ['user', 'anna'],
      ['database', 'orders'],
      ['options', '-c a=b'],
      ['Ü', 'é'],
    ],
  )
  test.match(readStartupPacket(withoutLength(startup({ user: 'a' }, 196_610))), { minor: 2 })
  test.match(readStartupPacket(withoutLength(startup({}))), { kind: 'startup' })
  test.end()
})

void t.test('requests in the place of a startup packet', (test) => {
  test.strictSame(readStartupPacket(withoutLength(sslRequest())), { kind: 'ssl' })
  test.strictSame(readStartupPacket(withoutLength(gssEncRequest())), { kind: 'gss-encryption' })
  for (const length of [4, 32, 256]) {
    const secret = Buffer.alloc(length, 7)
    test.strictSame(readStartupPacket(withoutLength(cancelRequest(-5, secret))), {
      kind: 'cancel',
      pid: -5,
      secret,
    })
  }
  for (const length of [0, 3, 257]) {
    const packet = withoutLength(cancelRequest(1, Buffer.alloc(length)))
    test.throws(() => readStartupPacket(packet), clientError, `a secret of ${length} bytes`)
  }
  test.end()
})

const answer = (version: number, options = 0): Buffer =>
  Buffer.concat([int32(version), int32(options)])

void t.test('what a server may negotiate', (test) => {
  test.equal(readNegotiatedMinor(answer(196_608), 2), 0)
  test.equal(readNegotiatedMinor(answer(196_610), 2), 2)
  test.equal(readNegotiatedMinor(answer(196_608), 0), 0)
  const wrong: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    'no options': int32(196_608),
    'a newer version than asked for': answer(196_611),
    'protocol 2': answer(131_072),
    'protocol 4': answer(4 << 16),
    'an option that was not sent': answer(196_608, 1),
    'a negative number of options': answer(196_608, -1),
  }
  for (const [name, body] of Object.entries(wrong))
    test.throws(() => readNegotiatedMinor(body, 2), serverError, name)
  test.end()
})

void t.test('startup packets that are refused', (test) => {
  const protocol3 = int32(196_608)
  const refused: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    'half a code': Buffer.from([0, 3]),
    'no terminator at all': protocol3,
    'a name without an end': Buffer.concat([protocol3, Buffer.from('user')]),
    'a name without a value': Buffer.concat([protocol3, text('user')]),
    'a value without an end': Buffer.concat([protocol3, text('user'), Buffer.from('anna')]),
    'no terminator': Buffer.concat([protocol3, text('user'), text('anna')]),
    'bytes after the terminator': Buffer.concat([protocol3, text(''), text('user')]),
  }
  for (const [name, body] of Object.entries(refused)) {
    test.throws(() => readStartupPacket(body), clientError, name)
  }
  const unspoken: Record<string, Buffer> = {
    'protocol 2': Buffer.concat([int32(131_072), Buffer.alloc(288)]),
    'protocol 4': int32(4 << 16),
    'an HTTP request': Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    'an unknown request': int32(80_877_105),
  }
  for (const [name, body] of Object.entries(unspoken)) {
    test.throws(() => readStartupPacket(body), { ...clientError, code: 'CLIENT_VERSION' }, name)
  }
  test.end()
})

void t.test('an error of a server', (test) => {
  const body = withoutHeader(errorResponse('42P01', 'no such table'))
  test.strictSame(readError(body, 0, body.length), {
    severity: 'ERROR',
    sqlstate: '42P01',
    message: 'no such table',
    routine: '',
  })
  const fatal = Buffer.concat([text('SFATALNO'), text('VFATAL'), text('C57P01'), text('Mbye')])
  test.match(readError(fatal, 0, fatal.length), { severity: 'FATAL', sqlstate: '57P01' })
  test.end()
})

void t.test('an error without SQLSTATE, or with a wrong one', (test) => {
  const bodies: Record<string, Buffer> = {
    none: Buffer.concat([text('VFATAL'), text('Mwhat'), Buffer.from([0])]),
    'too short': Buffer.concat([text('VFATAL'), text('C42'), text('Mwhat'), Buffer.from([0])]),
    'too long': Buffer.concat([text('VFATAL'), text('C42P011'), text('Mwhat'), Buffer.from([0])]),
    'cut off': Buffer.concat([text('VFATAL'), text('Mwhat'), Buffer.from('C42P0')]),
  }
  for (const [name, body] of Object.entries(bodies)) {
    const found = readError(body, 0, body.length)
    test.match(found, { severity: 'FATAL', sqlstate: 'XX000', message: 'what', routine: '' }, name)
  }
  test.match(readError(Buffer.alloc(0), 0, 0), { sqlstate: 'XX000', message: '' })
  test.end()
})

void t.test('a row in text', (test) => {
  const body = withoutHeader(dataRow('one', null, '', 'é'))
  test.strictSame(readTextRow(body, 0, body.length), ['one', null, '', 'é'])
  for (let end = 0; end < body.length; end += 1) {
    test.throws(() => readTextRow(body, 0, end), serverError, `cut off at ${end}`)
  }
  const huge = Buffer.concat([Buffer.from([0, 1]), int32(0x7fff_ffff), Buffer.from('x')])
  test.throws(() => readTextRow(huge, 0, huge.length), serverError)
  test.end()
})

void t.test('a parameter status', (test) => {
  const body = withoutHeader(parameterStatus('TimeZone', 'UTC'))
  test.strictSame(readParameterStatus(body, 0, body.length), ['TimeZone', 'UTC'])
  for (let end = 0; end < body.length; end += 1) {
    test.throws(() => readParameterStatus(body, 0, end), serverError)
  }
  test.end()
})

void t.test('arbitrary bytes give a value or a PontoonError', (test) => {
  const startupBytes = tuple(
    constantFrom(196_608, 196_610, 80_877_102, 80_877_103, 80_877_105),
    uint8Array({ maxLength: 300 }),
  ).map(([code, rest]) => Buffer.concat([int32(code), rest]))
  const anyBytes = uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
  const decoders: ((bytes: Buffer) => unknown)[] = [
    readStartupPacket,
    (bytes) => readError(bytes, 0, bytes.length),
    (bytes) => readTextRow(bytes, 0, bytes.length),
    (bytes) => readParameterStatus(bytes, 0, bytes.length),
  ]
  for (const decode of decoders) {
    assert(
      property(oneof(anyBytes, startupBytes), (bytes) => {
        try {
          decode(bytes)
        } catch (error) {
          if (!(error instanceof PontoonError)) throw error
        }
      }),
      { numRuns: 2_000, interruptAfterTimeLimit: 3_000 },
    )
  }
  test.pass('2,000 inputs each')
  test.end()
})

void t.test('what is read in place ends where the message ends', (test) => {
  const padded = Buffer.concat([
    Buffer.from('xx'),
    text('Mfoo'),
    text('C12345'),
    Buffer.from('yy\0'),
  ])
  const found = readError(padded, 2, padded.length - 3)
  test.match(found, { message: 'foo', sqlstate: '12345' })
  test.end()
})

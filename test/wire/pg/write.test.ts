/** Messages that Pontoon makes, against the same ones built by hand, and read back. */
import { assert, dictionary, property, string } from 'fast-check'
import t from 'tap'
import { readError, readParameterStatus, readStartupPacket } from '../../../src/wire/pg/read.ts'
import * as ours from '../../../src/wire/pg/write.ts'
import * as back from '../../support/pg-backend.ts'
import * as front from '../../support/pg-frontend.ts'

void t.test('byte by byte as the documentation has them', (test) => {
  const secret = Buffer.from([1, 2, 3, 4])
  const pairs: Record<string, readonly [Buffer, Buffer]> = {
    Sync: [ours.syncMessage, front.sync()],
    Terminate: [ours.terminateMessage, front.terminate()],
    SSLRequest: [ours.sslRequest, front.sslRequest()],
    Query: [ours.queryMessage('SELECT ü'), front.query('SELECT ü')],
    PasswordMessage: [ours.passwordMessage('sécret'), front.password('sécret')],
    CancelRequest: [ours.cancelRequest(-7, secret), front.cancelRequest(-7, secret)],
    StartupMessage: [
      ours.startupPacket(new Map([['user', 'anna']])),
      front.startup({ user: 'anna' }),
    ],
    AuthenticationOk: [ours.authenticationOk, back.authenticationOk()],
    ReadyForQuery: [ours.readyForQuery(0x54), back.readyForQuery('T')],
    CommandComplete: [ours.commandComplete('BEGIN'), back.commandComplete('BEGIN')],
    ParameterStatus: [ours.parameterStatus('a', 'b'), back.parameterStatus('a', 'b')],
    BackendKeyData: [ours.backendKeyData(5, secret), back.backendKeyData(5, secret)],
    ErrorResponse: [
      ours.errorResponse({ severity: 'FATAL', sqlstate: '57P01', message: 'bye' }),
      back.errorResponse('57P01', 'bye', 'FATAL'),
    ],
  }
  for (const [name, [made, expected]] of Object.entries(pairs)) {
    test.strictSame(made, expected, name)
  }
  test.end()
})

void t.test('detail and hint of an error', (test) => {
  const made = ours.errorResponse({
    severity: 'ERROR',
    sqlstate: '53300',
    message: 'm',
    detail: 'd',
    hint: 'h',
  })
  test.ok(made.includes('\0Dd\0Hh\0\0'))
  test.end()
})

void t.test('NegotiateProtocolVersion names what is not known', (test) => {
  const made = ours.negotiateProtocolVersion(196_608, ['_pq_.a', '_pq_.b'])
  const expected = front.message(
    'v',
    front.int32(196_608),
    front.int32(2),
    front.text('_pq_.a'),
    front.text('_pq_.b'),
  )
  test.strictSame(made, expected)
  test.end()
})

/** A string without a zero byte, which the protocol cannot carry. */
const words = string({ unit: 'binary' }).filter((text) => !text.includes('\0'))

void t.test('what is written is read back the same', (test) => {
  assert(
    property(dictionary(words.filter(Boolean), words), (parameters) => {
      const packet = ours.startupPacket(new Map(Object.entries(parameters)))
      const found = readStartupPacket(packet.subarray(4))
      test.equal(packet.readInt32BE(0), packet.length)
      if (found.kind !== 'startup') return false
      return (
        found.parameters.size === Object.keys(parameters).length &&
        Object.entries(parameters).every(([name, value]) => found.parameters.get(name) === value)
      )
    }),
    { numRuns: 200 },
  )
  assert(
    property(words, words, (name, value) => {
      const bytes = ours.parameterStatus(name, value)
      const [foundName, foundValue] = readParameterStatus(bytes, 5, bytes.length)
      return foundName === name && foundValue === value
    }),
    { numRuns: 200 },
  )
  assert(
    property(words, (message) => {
      const bytes = ours.errorResponse({ severity: 'ERROR', sqlstate: '12345', message })
      const found = readError(bytes, 5, bytes.length)
      return found.message === message && found.sqlstate === '12345'
    }),
    { numRuns: 200 },
  )
  test.end()
})

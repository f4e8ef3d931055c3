/**
 * Clients that say anything at all before they are logged in: whole packets in any order, mangled
 * ones, lengths that lie, in pieces of any size. Whatever they say, Pontoon answers in the protocol,
 * with one error at most, closes in time, keeps no bytes, and serves everybody else. Short in
 * startup-fuzz.test.ts, long in test/soak.
 */
import * as fc from 'fast-check'
import {
  cancelRequest,
  gssEncRequest,
  int32,
  message,
  password,
  query,
  saslInitialResponse,
  saslResponse,
  sslRequest,
  startup,
  sync,
  terminate,
} from '../../support/pg-frontend.ts'
import { connect } from '../../support/pg-wire.ts'
import { until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'

/** What a client sends, and in pieces of how many bytes (0: all at once). */
interface Script {
  readonly packets: readonly Buffer[]
  readonly pieceBytes: number
  /** How it goes: with FIN, without a word, or not at all. */
  readonly leaves: 'end' | 'destroy' | 'stays'
}

const names = fc.constantFrom(
  'user',
  'database',
  'options',
  'replication',
  'application_name',
  'search_path',
  '_pq_.future',
  'client_encoding',
)
const values = fc.oneof(
  fc.constantFrom('postgres', 'anna', '', 'true', 'database', '-c work_mem=1MB', 'UTF8'),
  fc.string({ maxLength: 200 }),
)
const minor = fc.constantFrom(0, 1, 2, 3, 9_999)
const startups = fc
  .tuple(fc.dictionary(names, values, { maxKeys: 6 }), minor)
  .map(([parameters, of]) => startup(parameters, 196_608 + of))
const logins = minor.map((of) => startup({ user: 'postgres', database: 'postgres' }, 196_608 + of))
const secrets = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const whole = fc.oneof(
  logins,
  startups,
  fc.constantFrom(sslRequest(), gssEncRequest(), query('SELECT 1'), sync(), terminate()),
  fc.tuple(fc.integer(), secrets).map(([pid, secret]) => cancelRequest(pid, secret)),
  fc.string({ maxLength: 100 }).map((words) => password(words)),
  fc.string({ maxLength: 100 }).map((words) => saslResponse(words)),
  fc
    .tuple(fc.constantFrom('SCRAM-SHA-256', 'SCRAM-SHA-256-PLUS', 'PLAIN', ''), fc.string())
    .map(([mechanism, words]) => saslInitialResponse(mechanism, `n,,n=,r=${words}`)),
)
const lies = fc
  .tuple(fc.constantFrom(-1, 0, 1, 4, 7, 8, 65_536, 65_537, 0x16030100, 0x7fffffff), secrets)
  .map(([length, bytes]) => Buffer.concat([int32(length), bytes]))
const lyingMessages = fc
  .tuple(fc.constantFrom('p', 'Q', 'X', '\0'), lies)
  .map(([type, bytes]) => Buffer.concat([Buffer.from(type), bytes]))
const mangled = fc
  .tuple(whole, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.nat(3))
  .map(([packet, at, mask, how]) => mangle(packet, at % packet.length, mask, how))
const noise = fc.oneof(
  fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(message('p', Buffer.alloc(60_000, 1))),
)
const script: fc.Arbitrary<Script> = fc.record({
  packets: fc.array(
    fc.oneof({ weight: 4, arbitrary: whole }, mangled, lies, lyingMessages, noise),
    { minLength: 1, maxLength: 6 },
  ),
  pieceBytes: fc.constantFrom(0, 0, 0, 1, 3, 50),
  leaves: fc.constantFrom('end', 'end', 'destroy', 'stays'),
})

function mangle(packet: Buffer, at: number, mask: number, how: number): Buffer {
  const changed = Buffer.from(packet)
  changed[at] = (changed[at] ?? 0) ^ mask
  if (how === 0) return changed
  if (how === 1) return packet.subarray(0, at)
  return Buffer.concat([packet.subarray(0, at), Buffer.from([mask]), packet.subarray(at)])
}

/** Pieces are sent with a pause between them only this often: the rest are joined by the kernel. */
const piecesMax = 200

/** Plays one script and returns what came back. */
async function play(pontoon: Pontoon, { packets, pieceBytes, leaves }: Script): Promise<Buffer> {
  const wire = await connect(pontoon.host, pontoon.port)
  const bytes = Buffer.concat(packets)
  const size = pieceBytes === 0 ? bytes.length : pieceBytes
  const paced = Math.min(bytes.length, size * piecesMax)
  try {
    for (let at = 0; at < paced; at += size) await wire.send(bytes.subarray(at, at + size))
    if (paced < bytes.length) await wire.send(bytes.subarray(paced))
  } catch {
    // Closed already: it has heard enough.
  }
  if (leaves === 'destroy') wire.destroy()
  else if (leaves === 'end') wire.end()
  // Those who stay are logged in, or are closed by the login timeout.
  await Promise.race([wire.closed(), wire.until('Z').catch(() => null)])
  wire.destroy()
  return Buffer.concat(wire.received)
}

/** Nothing, or the beginning of an alert or handshake. */
function isTlsRecord(received: Buffer, at: number): boolean {
  const type = received[at]
  return type === undefined || ((type === 0x15 || type === 0x16) && received[at + 1] === 3)
}

/**
 * Single letters answer encryption requests; then come whole messages, and nothing behind a fatal
 * error. After S, and for a client that began with TLS, everything is TLS.
 */
export function isInProtocol(received: Buffer): boolean {
  let at = 0
  while (received[at] === 0x4e) at += 1
  if (received[at] === 0x53 && isTlsRecord(received, at + 1)) return true
  if (received.length > 0 && isTlsRecord(received, 0)) return true
  while (at < received.length) {
    if (received.length - at < 5) return false
    const type = received.toString('latin1', at, at + 1)
    const end = at + 1 + received.readInt32BE(at + 1)
    if (!'RSKZEvNTDCI123'.includes(type) || end <= at + 4 || end > received.length) return false
    const isFatal = type === 'E' && received.includes('SFATAL', at)
    if (isFatal) return end === received.length
    at = end
  }
  return true
}

export interface FuzzOptions {
  readonly pontoon: Pontoon
  /** Somebody who is logged in and must not notice anything. */
  readonly bystander: RawClient
  readonly timeMs: number
}

/** So often at least, however slow the machine is at present, and further while there is time. */
const roundsMin = 6

/** Throws with the script that broke something. Returns how many were played. */
export async function fuzzStartup({ pontoon, bystander, timeMs }: FuzzOptions): Promise<number> {
  let played = 0
  const startMs = performance.now()
  const round = fc.asyncProperty(
    fc.array(script, { minLength: 4, maxLength: 8 }),
    async (scripts) => {
      const answers = await Promise.all(scripts.map((one) => play(pontoon, one)))
      played += scripts.length
      const wrong = answers.find((received) => !isInProtocol(received))
      if (wrong !== undefined) throw new Error(`not in protocol: ${wrong.toString('latin1')}`)
      if ((await value(bystander, 'SELECT 7')) !== '7') throw new Error('somebody else suffered')
    },
  )
  await fc.assert(round, { numRuns: roundsMin })
  const leftMs = timeMs - (performance.now() - startMs)
  const further = { numRuns: 1_000_000, interruptAfterTimeLimit: Math.max(leftMs, 1) }
  const found = await fc.check(round, further)
  // To be interrupted in the first round is no failure.
  if (found.counterexample !== null) throw new Error(await fc.asyncDefaultReportMessage(found))
  await until(() => pontoon.service.snapshot().clients.startup === 0, 'all logins to be over')
  return played
}

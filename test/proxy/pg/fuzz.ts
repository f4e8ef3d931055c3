/**
 * Broken bytes from clients, before and after their login, and from servers: whatever comes, its
 * sender is answered or closed in time, nobody else notices, and no buffer grows. Run for a short
 * time by fuzz.test.ts and for a long one by test/soak/fuzz.soak.ts. A failing seed is printed by
 * fast-check; run it again with FAST_CHECK_SEED.
 */
import {
  array,
  assert,
  asyncProperty,
  constantFrom,
  integer,
  nat,
  oneof,
  record,
  tuple,
  uint8Array,
} from 'fast-check'
import type { Arbitrary, IAsyncPropertyWithHooks } from 'fast-check'
import type { Test } from 'tap'
import { expect, expectStartup, send, startMockPostgres } from '../../support/mock-postgres.ts'
import * as back from '../../support/pg-backend.ts'
import * as front from '../../support/pg-frontend.ts'
import { connect, summary } from '../../support/pg-wire.ts'
import type { PgWire } from '../../support/pg-wire.ts'
import { ask, startPontoon, value } from '../../support/pontoon.ts'
import type { PostgresServer } from '../../support/postgres.ts'

export type Mode = 'session' | 'transaction'

const deadlineMs = 20_000
const heldBytesMax = 64 * 1024 * 1024
const seed = process.env['FAST_CHECK_SEED']

/** So many streams are tried however slow the machine is, and as many again while there is time. */
const runsAtOnce = 21

async function tryOut<T>(property: IAsyncPropertyWithHooks<T>, budgetMs: number): Promise<void> {
  const endMs = performance.now() + budgetMs
  for (let round = 0; round === 0 || performance.now() < endMs; round += 1) {
    const seeded = seed === undefined ? {} : { seed: Number(seed) + round }
    // eslint-disable-next-line no-await-in-loop -- until the time is up
    await assert(property, { ...seeded, numRuns: runsAtOnce })
  }
}

const names = constantFrom('', 's1', 'p1')
const fromClients: Arbitrary<Buffer> = oneof(
  constantFrom('SELECT 1', 'BEGIN', 'COMMIT', 'SELECT 1/0', '', 'COPY taken FROM STDIN').map(
    front.query,
  ),
  tuple(names, constantFrom('SELECT 1', 'SELECT $1::text', 'SELEC')).map(([name, sql]) =>
    front.parse(sql, name),
  ),
  tuple(names, names).map(([statement, portal]) =>
    front.bind({ statement, portal, values: ['x'] }),
  ),
  tuple(names, nat(2)).map(([portal, rowsMax]) => front.execute(portal, rowsMax)),
  names.map(front.describeStatement),
  names.map(front.describePortal),
  names.map(front.closeStatement),
  constantFrom(front.sync(), front.flush(), front.copyDone(), front.copyFail('no')),
  constantFrom(front.copyData('1\n'), front.terminate(), front.message('F', Buffer.alloc(8))),
)

const fromServers: Arbitrary<Buffer> = constantFrom(
  back.rowDescription('a', 'b'),
  back.dataRow('1', null),
  back.dataRow('x'.repeat(3_000)),
  back.commandComplete('SELECT 1'),
  back.commandComplete('DISCARD ALL'),
  back.readyForQuery(),
  back.readyForQuery('T'),
  back.readyForQuery('E'),
  back.errorResponse('22012', 'division by zero'),
  back.errorResponse('57P01', 'going', 'FATAL'),
  back.noticeResponse('00000', 'note'),
  back.notificationResponse(1, 'news', 'hello'),
  back.parameterStatus('TimeZone', 'UTC'),
  back.parseComplete(),
  back.bindComplete(),
  back.closeComplete(),
  back.noData(),
  back.emptyQueryResponse(),
  front.message('G', Buffer.from([0, 0, 0])),
  front.message('H', Buffer.from([0, 0, 0])),
  front.message('W', Buffer.from([0, 0, 0])),
  front.copyData('1\n'),
  front.copyDone(),
)

type Damage = (bytes: Buffer) => Buffer

/** What happens to a stream; places are shares of its length. */
const damage: Arbitrary<Damage> = oneof(
  tuple(integer({ min: 0, max: 999 }), nat(7)).map(([at, bit]) => (bytes: Buffer) => {
    const index = Math.floor((bytes.length * at) / 1_000)
    bytes[index] = (bytes[index] ?? 0) ^ (1 << bit)
    return bytes
  }),
  tuple(integer({ min: 0, max: 999 }), uint8Array({ maxLength: 9 })).map(
    ([at, more]) =>
      (bytes: Buffer) => {
        const index = Math.floor((bytes.length * at) / 1_000)
        return Buffer.concat([bytes.subarray(0, index), more, bytes.subarray(index)])
      },
  ),
  tuple(integer({ min: 0, max: 999 }), integer({ min: 1, max: 9 })).map(
    ([at, count]) =>
      (bytes: Buffer) => {
        const index = Math.floor((bytes.length * at) / 1_000)
        return Buffer.concat([bytes.subarray(0, index), bytes.subarray(index + count)])
      },
  ),
  tuple(
    integer({ min: 0, max: 999 }),
    constantFrom(-1, 0, 3, 4, 5, 70_000, 0x3fff_ffff, 0x7fff_ffff),
  ).map(([at, length]) => (bytes: Buffer) => {
    const index = Math.floor((bytes.length * at) / 1_000)
    if (index + 4 <= bytes.length) bytes.writeInt32BE(length, index)
    return bytes
  }),
)

const stream = (messages: Arbitrary<Buffer>): Arbitrary<{ bytes: Buffer; cut: number }> =>
  record({
    parts: array(messages, { minLength: 1, maxLength: 12 }),
    damages: array(damage, { maxLength: 3 }),
    cut: constantFrom(100_000, 100_000, 61, 7, 1),
  }).map(({ parts, damages, cut }) => ({
    bytes: damages.reduce<Buffer>((bytes, spoil) => spoil(bytes), Buffer.concat(parts)),
    cut,
  }))

async function sendCut(wire: PgWire, bytes: Buffer, cut: number): Promise<void> {
  try {
    for (let start = 0; start < bytes.length; start += cut)
      await wire.send(bytes.subarray(start, start + cut))
  } catch {
    // It was closed for what it had sent already.
  }
}

function demandBounded(before: number): void {
  const grown = process.memoryUsage().arrayBuffers - before
  if (grown > heldBytesMax) throw new Error(`${grown} bytes more in buffers`)
}

/** Clients that are logged in. */
export async function fuzzClients(
  test: Test,
  server: PostgresServer,
  mode: Mode,
  budgetMs: number,
): Promise<void> {
  const pool = { size: mode === 'session' ? 4 : 2 }
  const pontoon = await startPontoon({ source: server, mode, pool })
  const bystander = await pontoon.client()
  const before = process.memoryUsage().arrayBuffers
  let runs = 0
  const property = asyncProperty(stream(fromClients), async ({ bytes, cut }) => {
    const { wire } = await pontoon.client()
    await sendCut(wire, bytes, cut)
    // Half a message would otherwise be waited for.
    wire.end()
    await wire.closed(deadlineMs)
    wire.destroy()
    if ((await value(bystander, 'SELECT 1')) !== '1') throw new Error('a bystander suffered')
    demandBounded(before)
    runs += 1
  })
  await tryOut(property, budgetMs)
  test.ok(runs >= runsAtOnce, `${runs} streams`)
  bystander.wire.destroy()
  await pontoon.untilIdle(deadlineMs)
  await pontoon.stop()
}

/** Anything in the place of a startup packet. */
export async function fuzzStartup(
  test: Test,
  server: PostgresServer,
  budgetMs: number,
): Promise<void> {
  const pontoon = await startPontoon({ source: server })
  const bystander = await pontoon.client()
  const packets: Arbitrary<Buffer> = oneof(
    constantFrom(
      front.sslRequest(),
      front.gssEncRequest(),
      front.cancelRequest(1, Buffer.alloc(4)),
    ),
    tuple(constantFrom(196_608, 196_610, 131_072, 1, -1), uint8Array({ maxLength: 60 })).map(
      ([version, rest]) => front.untyped(front.int32(version), Buffer.from(rest)),
    ),
    constantFrom('postgres', '', 'x').map((user) => front.startup({ user, database: 'postgres' })),
    uint8Array({ minLength: 1, maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
  )
  const before = process.memoryUsage().arrayBuffers
  let runs = 0
  const property = asyncProperty(stream(packets), async ({ bytes, cut }) => {
    const wire = await connect(pontoon.host, pontoon.port)
    await sendCut(wire, bytes, cut)
    wire.end()
    await wire.closed(deadlineMs)
    wire.destroy()
    if ((await value(bystander, 'SELECT 1')) !== '1') throw new Error('a bystander suffered')
    demandBounded(before)
    runs += 1
  })
  await tryOut(property, budgetMs)
  test.ok(runs >= runsAtOnce, `${runs} packets`)
  bystander.wire.destroy()
  await pontoon.untilIdle(deadlineMs)
  await pontoon.stop()
}

/** What a server answers to a query, and then it hangs up. The next server is sound. */
export async function fuzzServers(test: Test, mode: Mode, budgetMs: number): Promise<void> {
  const sound = Buffer.concat([
    back.rowDescription('a'),
    back.dataRow('1'),
    back.commandComplete('SELECT 1'),
    back.readyForQuery(),
  ])
  let answer: Buffer = sound
  const mock = await startMockPostgres(() => [
    expectStartup(),
    send(back.welcome()),
    expect('Q'),
    { kind: 'send', bytes: answer },
    { kind: 'close' },
  ])
  const pontoon = await startPontoon({ source: mock, mode, pool: { size: 1, holdMs: 0 } })
  const before = process.memoryUsage().arrayBuffers
  let runs = 0
  const property = asyncProperty(stream(fromServers), async ({ bytes }) => {
    answer = bytes
    const client = await pontoon.client()
    await client.wire.send(front.query('SELECT 1'))
    // Answered and given back, or closed: both are an end.
    await Promise.race([
      client.wire.closed(deadlineMs),
      client.wire.until('Z', deadlineMs).catch(() => client.wire.closed(deadlineMs)),
    ])
    client.wire.destroy()
    await pontoon.untilIdle(deadlineMs)
    answer = sound
    const next = await pontoon.client()
    const found = summary(await ask(next, 'SELECT 1'))
    if (found !== 'TDCZ') throw new Error(`${found} from a sound server`)
    next.wire.destroy()
    await pontoon.untilIdle(deadlineMs)
    demandBounded(before)
    runs += 1
  })
  await tryOut(property, budgetMs)
  test.ok(runs >= runsAtOnce, `${runs} answers`)
  await pontoon.stop()
  await mock.stop()
}

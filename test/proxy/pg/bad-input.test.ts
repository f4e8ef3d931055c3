/** Whatever comes in on the listener: a clear answer, within a deadline, and nobody else suffers. */
import t from 'tap'
import {
  gssEncRequest,
  int32,
  query,
  sslRequest,
  startup,
  untyped,
} from '../../support/pg-frontend.ts'
import { connect, errorFields, rowValues } from '../../support/pg-wire.ts'
import type { BackendMessage, PgWire } from '../../support/pg-wire.ts'
import { present, startPontoon, until, value } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
const pontoon = await startPontoon({
  source: server,
  config: { limits: { startupBytesMax: 4_096 }, databases: ['postgres'] },
})
const impatient = await startPontoon({
  source: server,
  config: { limits: { loginTimeoutMs: 400 } },
})
t.teardown(async () => {
  await Promise.all([pontoon.stop(), impatient.stop()])
  await server.stop()
})
const bystander = await pontoon.client()

const raw = ({ host, port } = pontoon): Promise<PgWire> => connect(host, port)

/** The one error that a client gets before it is closed. */
async function refusal(wire: PgWire): Promise<Record<string, string>> {
  const messages: BackendMessage[] = []
  for (;;) {
    const found = await wire.next().catch(() => null)
    if (found === null) break
    messages.push(found)
  }
  await wire.closed()
  const errors = messages.filter(({ type }) => type === 'E')
  if (errors.length !== 1) throw new Error(`${errors.length} errors`)
  return errorFields(present(errors[0]))
}

t.afterEach(async () => {
  if ((await value(bystander, 'SELECT 1')) !== '1') throw new Error('somebody else suffered')
  const services = [pontoon.service, impatient.service]
  await until(
    () => services.every((service) => service.snapshot().clients.startup === 0),
    'all logins to be over',
  )
})

const garbage: Readonly<Record<string, Buffer>> = {
  'random bytes': Buffer.from('f00dcafe'.repeat(40), 'hex'),
  'zero bytes': Buffer.alloc(100),
  'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  'a Redis command': Buffer.from('*1\r\n$4\r\nPING\r\n'),
  'a length of zero': int32(0),
  'a negative length': int32(-1),
  'a startup packet of 1 GB': Buffer.concat([int32(1_073_741_824), int32(196_608)]),
  'a startup packet over the limit': startup({ user: 'a', options: 'x'.repeat(5_000) }),
  'a startup packet without its end': untyped(int32(196_608), Buffer.from('user\0postgres\0')),
  'a query instead of a startup packet': query('SELECT 1'),
  'bytes behind SSLRequest': Buffer.concat([sslRequest(), startup({ user: 'postgres' })]),
  'bytes behind GSSENCRequest': Buffer.concat([gssEncRequest(), Buffer.from('x')]),
}

for (const [name, bytes] of Object.entries(garbage)) {
  void t.test(`${name} is refused`, async (test) => {
    const wire = await raw()
    await wire.send(bytes)
    test.match(await refusal(wire), {
      S: 'FATAL',
      C: '08P01',
      D: /CLIENT_PROTOCOL|STARTUP_TOO_LARGE/,
    })
  })
}

const repeated: Readonly<Record<string, readonly (() => Buffer)[]>> = {
  'SSLRequest twice': [sslRequest, sslRequest],
  'GSSENCRequest twice': [gssEncRequest, gssEncRequest],
  'SSLRequest, GSSENCRequest, SSLRequest': [sslRequest, gssEncRequest, sslRequest],
}

for (const [name, requests] of Object.entries(repeated)) {
  void t.test(`attempts are bounded: ${name}`, async (test) => {
    const wire = await raw()
    for (const request of requests.slice(0, -1)) {
      await wire.send(request())
      test.equal(await wire.nextByte(), 'N')
    }
    await wire.send(present(requests.at(-1))())
    test.match(await refusal(wire), {
      C: '0A000',
      M: /^unsupported frontend protocol 1234\.56(79|80)/,
    })
  })
}

void t.test('GSSENCRequest, then SSLRequest, then in clear', async (test) => {
  const wire = await raw()
  for (const request of [gssEncRequest(), sslRequest()]) {
    await wire.send(request)
    test.equal(await wire.nextByte(), 'N')
  }
  await wire.send(startup({ user: 'postgres', database: 'postgres' }))
  await wire.until('Z')
  wire.destroy()
})

void t.test('a startup packet byte by byte', async (test) => {
  const wire = await raw()
  for (const byte of startup({ user: 'postgres', database: 'postgres' }))
    await wire.send(Buffer.from([byte]))
  test.equal((await wire.until('Z')).at(0)?.type, 'R')
  wire.destroy()
})

void t.test('a first query in the same write as the startup packet', async (test) => {
  const wire = await raw()
  await wire.send(startup({ user: 'postgres', database: 'postgres' }), query('SELECT 5'))
  await wire.until('Z')
  test.ok((await wire.until('Z')).find(({ type }) => type === 'D')?.body.includes('5'))
  wire.destroy()
})

/** Requests that are sent along with the startup packet, for a login that a pause holds up. */
async function sendEarly(wire: PgWire, count: number, padding: number): Promise<void> {
  const filler = 'x'.repeat(padding)
  const requests = Array.from({ length: count }, (_, n) => query(`SELECT ${n} /* ${filler} */`))
  await wire.send(startup({ user: 'postgres', database: 'postgres' }), ...requests)
}

void t.test('what is sent before the login is over waits for it, up to a bound', async (test) => {
  await pontoon.service.pause(60_000, 1_000, 'a test')
  // Nobody has asked yet what these are told, so they wait for a server.
  pontoon.service.reconnect()
  const [eager, greedy] = [await raw(), await raw()]
  await sendEarly(eager, 100, 1_000)
  await sendEarly(greedy, 3, 60_000)
  test.match(await refusal(greedy), { C: '08P01', M: /too many bytes before the login is over/ })
  pontoon.service.resume()
  test.equal((await eager.until('Z')).at(0)?.type, 'R')
  for (let n = 0; n < 100; n += 1) {
    const row = (await eager.until('Z')).find(({ type }) => type === 'D')
    test.strictSame(rowValues(present(row)), [String(n)])
  }
  eager.destroy()
})

void t.test(
  'a client that dribbles its startup packet is closed in time all the same',
  async (test) => {
    const wire = await raw(impatient)
    const endless = untyped(int32(196_608), Buffer.from(`user\0${'p'.repeat(60_000)}\0\0`))
    let at = 0
    const dribble = setInterval(() => void wire.send(endless.subarray(at, (at += 1))), 5)
    test.teardown(() => clearInterval(dribble))
    test.match(await refusal(wire), { C: '08P01', M: /not finished within 400 ms/ })
    test.ok(at > 1, `${at} bytes`)
  },
)

const silences: Readonly<Record<string, Buffer>> = {
  'says nothing': Buffer.alloc(0),
  'says half a startup packet': startup({ user: 'postgres' }).subarray(0, 10),
  'says SSLRequest and no more': sslRequest(),
}

for (const [name, bytes] of Object.entries(silences)) {
  void t.test(`a client that ${name} is closed after loginTimeoutMs`, async (test) => {
    const begun = performance.now()
    const wire = await raw(impatient)
    await wire.send(bytes)
    if (bytes.equals(sslRequest())) test.equal(await wire.nextByte(), 'N')
    test.match(await refusal(wire), { C: '08P01', M: /not finished within 400 ms/ })
    const tookMs = performance.now() - begun
    test.ok(tookMs > 300 && tookMs < 9_000, `${tookMs} ms`)
  })
}

const refusedLogins: Readonly<Record<string, readonly [Buffer, object]>> = {
  'a startup packet without a user': [startup({ database: 'postgres' }), { C: '28000' }],
  'a database that is not listed': [
    startup({ user: 'postgres', database: 'other' }),
    { C: '28000', M: /database "other" is not listed/ },
  ],
}

for (const [name, [bytes, expected]] of Object.entries(refusedLogins)) {
  void t.test(`${name} is refused`, async (test) => {
    const wire = await raw()
    await wire.send(bytes)
    test.match(await refusal(wire), { S: 'FATAL', ...expected })
  })
}

void t.test('the database that the client asks for does not exist', async (test) => {
  const open = await startPontoon({ source: server })
  test.teardown(() => open.stop())
  await test.rejects(open.client({ database: 'nowhere' }), {
    message: '3D000: database "nowhere" does not exist',
  })
  test.equal(await value(await open.client(), 'SELECT 1'), '1')
})

void t.test('a client that connects and goes away at once', async (test) => {
  const before = pontoon.service.snapshot().clients.idle
  for (let count = 0; count < 20; count += 1) {
    const wire = await raw()
    if (count % 3 === 0) await wire.send(startup({ user: 'postgres', database: 'postgres' }))
    wire.destroy(count % 2 === 0)
  }
  await pontoon.untilIdle()
  await until(() => pontoon.service.snapshot().clients.idle === before, 'all to have left')
  test.pass()
})

/** The event stream: what arrives, what a late subscriber still gets, the bound on subscribers. */
import { connect } from 'node:net'
import { fastify } from 'fastify'
import t from 'tap'
import type { Test } from 'tap'
import { addEventRoutes } from '../../../src/control/admin/routes/events.ts'
import { EventFeed } from '../../../src/control/events.ts'
import { startFixture } from '../fixture.ts'
import type { Fixture } from '../fixture.ts'

interface Received {
  readonly kind: string
  readonly id: string | undefined
  readonly data: Record<string, unknown>
}

/** Reads the stream in the background until the test is over. */
async function subscribe(
  test: Test,
  { runtime }: Fixture,
  headers: Record<string, string> = {},
): Promise<{ until: (kind: string) => Promise<Received>; status: number }> {
  const abort = new AbortController()
  const answer = await fetch(`${runtime.adminAddress}/v1/events`, {
    headers,
    signal: abort.signal,
  })
  test.teardown(() => abort.abort())
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  const queue: Received[] = []
  const until = async (kind: string): Promise<Received> => {
    for (;;) {
      const found = queue.findIndex((event) => event.kind === kind)
      const event = queue[found]
      if (event !== undefined) {
        queue.splice(0, found + 1)
        return event
      }
      const { done, value } = (await reader?.read()) ?? { done: true, value: '' }
      if (done) throw new Error('the stream has ended')
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop() ?? ''
      queue.push(...blocks.flatMap(parseEvent))
    }
  }
  return { until, status: answer.status }
}

function parseEvent(block: string): Received[] {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
  const kind = field('event')
  const data: Record<string, unknown> = JSON.parse(field('data') ?? '{}')
  return kind === undefined ? [] : [{ kind, id: field('id'), data }]
}

void t.test('route changes and gates arrive, also a gate that opens by itself', async (test) => {
  const fixture = await startFixture(test)
  const { until } = await subscribe(test, fixture)
  await until('services')
  await fixture.request('/v1/services/orders/route', {
    method: 'PATCH',
    body: { reads: 30 },
    headers: { 'If-Match': `"${fixture.service.route.epoch}"` },
  })
  const { data } = await until('route')
  test.match(data, {
    service: 'orders',
    by: 'loopback',
    before: { reads: 0 },
    after: { reads: 30 },
  })
  await fixture.request('/v1/services/orders/pause', { method: 'POST', body: { forMs: 1_500 } })
  test.match((await until('gate')).data, { service: 'orders', state: 'paused' })
  test.match((await until('gate')).data, { service: 'orders', state: 'open' })
})

void t.test('errors of the data plane arrive as how many more there are', async (test) => {
  const fixture = await startFixture(test)
  const { until } = await subscribe(test, fixture)
  await until('services')
  fixture.service.stats.ownErrors.set('POOL_TIMEOUT', 3)
  test.match((await until('errors')).data, { service: 'orders', counts: { POOL_TIMEOUT: 3 } })
})

void t.test('who comes back with Last-Event-ID gets what it missed', async (test) => {
  const fixture = await startFixture(test)
  const change = (reads: number): Promise<unknown> =>
    fixture.request('/v1/services/orders/route', {
      method: 'PATCH',
      body: { reads },
      headers: { 'If-Match': `${fixture.service.route.epoch}` },
    })
  const first = await subscribe(test, fixture)
  await change(10)
  const { id } = await first.until('route')
  await change(20)
  const second = await subscribe(test, fixture, { 'Last-Event-ID': id ?? '' })
  test.match((await second.until('route')).data, { after: { reads: 20 } })
})

void t.test('subscribers are bounded', async (test) => {
  const fixture = await startFixture(test)
  const streams = await Promise.all(Array.from({ length: 32 }, () => subscribe(test, fixture)))
  test.ok(streams.every(({ status }) => status === 200))
  const refused = await fixture.request('/v1/events')
  test.equal(refused.status, 429)
  test.equal(refused.json['code'], 'RATE_LIMITED')
})

void t.test('a pause shorter than the interval of the picture is seen too', async (test) => {
  const fixture = await startFixture(test)
  const { until } = await subscribe(test, fixture)
  await until('services')
  await fixture.request('/v1/services/orders/pause', { method: 'POST' })
  await fixture.request('/v1/services/orders/resume', { method: 'POST' })
  test.match((await until('gate')).data, { state: 'paused' })
  test.match((await until('gate')).data, { state: 'open' })
})

void t.test('a subscriber that does not read is cut off', async (test) => {
  const events = new EventFeed(() => 0)
  const app = fastify()
  test.teardown(() => app.close())
  addEventRoutes(app, { events })
  const { port } = new URL(await app.listen({ port: 0 }))
  const socket = connect({ host: '127.0.0.1', port: Number(port) })
  test.teardown(() => socket.destroy())
  const closed = new Promise((resolve) => socket.once('close', resolve))
  // A reset is one of the ways to be cut off.
  socket.on('error', () => undefined)
  socket.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await new Promise((resolve) => socket.once('readable', resolve))
  test.equal(events.listenerCount, 1)
  const padding = 'x'.repeat(1_000_000)
  // More than the kernel takes on both ends of a loopback connection.
  for (let sent = 0; sent < 40 && events.listenerCount > 0; sent += 1) {
    events.show('services', { padding })
    await new Promise((resolve) => setImmediate(resolve))
  }
  test.equal(events.listenerCount, 0)
  socket.resume()
  await closed
})

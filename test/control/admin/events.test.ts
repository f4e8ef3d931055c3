/** The event stream: what arrives, what a late subscriber still gets, the bound on subscribers. */
import { connect } from 'node:net'
import { fastify } from 'fastify'
import t from 'tap'
import { addEventRoutes } from '../../../src/control/admin/routes/events.ts'
import { EventFeed } from '../../../src/control/events.ts'
import { subscribe } from '../event-stream.ts'
import { startFixture } from '../fixture.ts'

void t.test('route changes and gates arrive, also a gate that opens by itself', async (test) => {
  const fixture = await startFixture(test)
  const { until } = await subscribe(test, fixture.runtime.adminAddress)
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
  const { until } = await subscribe(test, fixture.runtime.adminAddress)
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
  const first = await subscribe(test, fixture.runtime.adminAddress)
  await change(10)
  const { id } = await first.until('route')
  await change(20)
  const second = await subscribe(test, fixture.runtime.adminAddress, { 'Last-Event-ID': id ?? '' })
  test.match((await second.until('route')).data, { after: { reads: 20 } })
})

void t.test('subscribers are bounded', async (test) => {
  const fixture = await startFixture(test)
  const streams = await Promise.all(
    Array.from({ length: 32 }, () => subscribe(test, fixture.runtime.adminAddress)),
  )
  test.ok(streams.every(({ status }) => status === 200))
  const refused = await fixture.request('/v1/events')
  test.equal(refused.status, 429)
  test.equal(refused.json['code'], 'RATE_LIMITED')
})

void t.test('a pause shorter than the interval of the picture is seen too', async (test) => {
  const fixture = await startFixture(test)
  const { until } = await subscribe(test, fixture.runtime.adminAddress)
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

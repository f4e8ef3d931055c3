/** PATCH …/route: epochs, refusals, problem documents, what is stored and recorded. */
import t from 'tap'
import { listOf, startFixture } from '../fixture.ts'
import type { Answer, Fixture } from '../fixture.ts'

function patch(
  { request }: Fixture,
  body: unknown,
  epoch?: number | string,
  query = '',
): Promise<Answer> {
  return request(`/v1/services/orders/route${query}`, {
    method: 'PATCH',
    body,
    ...(epoch === undefined ? {} : { headers: { 'If-Match': `${epoch}` } }),
  })
}

void t.test('a change is stored, applied, tagged and recorded', async (test) => {
  const fixture = await startFixture(test)
  const { request, runtime, service } = fixture
  const seen = await request('/v1/services/orders')
  const etag = seen.headers.get('etag') ?? ''
  const { epoch } = service.route
  test.equal(etag, `"${epoch}"`)
  const answer = await patch(fixture, { reads: 25 }, etag)
  test.equal(answer.status, 200)
  test.equal(answer.headers.get('etag'), `"${epoch + 1}"`)
  test.match(answer.json, { applied: true, before: { reads: 0 }, after: { reads: 25 } })
  test.equal(service.route.reads, 25)
  test.equal(runtime.store.get('orders')?.epoch, epoch + 1)
  const { json } = await request('/v1/audit')
  test.match(json, {
    entries: [
      {
        actor: 'loopback',
        action: 'route.change',
        service: 'orders',
        outcome: 'done',
        before: { reads: 0 },
        after: { reads: 25 },
      },
    ],
  })
})

void t.test('without an epoch 428, with a stale one 412, and both are recorded', async (test) => {
  const fixture = await startFixture(test)
  const { epoch } = fixture.service.route
  for (const tag of [undefined, '*']) {
    const answer = await patch(fixture, { reads: 25 }, tag)
    test.equal(answer.status, 428, String(tag))
    test.match(answer.json, { code: 'EPOCH_REQUIRED', status: 428, retrySafe: true })
  }
  test.equal((await patch(fixture, { reads: 25 }, 'W/"1"')).status, 400, 'weak tags do not compare')
  test.equal((await patch(fixture, { reads: 10 }, epoch)).status, 200)
  const stale = await patch(fixture, { reads: 50 }, epoch)
  test.equal(stale.status, 412)
  test.match(stale.json, { code: 'EPOCH_STALE', epoch: epoch + 1, route: { reads: 10 } })
  test.match(stale.headers.get('content-type'), /^application\/problem\+json/)
  test.equal(fixture.service.route.reads, 10)
  test.match(listOf(await fixture.request('/v1/audit'), 'entries'), [
    { outcome: 'refused', details: { code: 'EPOCH_REQUIRED' } },
    { outcome: 'refused', details: { code: 'EPOCH_REQUIRED' } },
    { outcome: 'refused', details: { code: 'BAD_REQUEST' } },
    { outcome: 'done', after: { reads: 10 } },
    { outcome: 'refused', details: { code: 'EPOCH_STALE' } },
  ])
})

void t.test('of changes sent at once on one epoch exactly one wins', async (test) => {
  const fixture = await startFixture(test)
  const { epoch } = fixture.service.route
  const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => patch(fixture, { reads: n }, epoch)))
  test.same(
    answers.map(({ status }) => status).toSorted((one, other) => one - other),
    [200, 412, 412, 412, 412],
  )
  test.equal(fixture.service.route.epoch, epoch + 1)
})

void t.test('what could cause split-brain is refused with the reason', async (test) => {
  const fixture = await startFixture(test)
  const { epoch } = fixture.service.route
  const answer = await patch(fixture, { phase: 'managed' }, epoch)
  test.equal(answer.status, 409)
  test.equal(answer.json['code'], 'ROUTE_REFUSED')
  test.match(answer.json['detail'], /cutover/)
  test.equal(fixture.service.route.epoch, epoch)
})

void t.test('a dry run decides and changes nothing', async (test) => {
  const fixture = await startFixture(test)
  const { epoch } = fixture.service.route
  const answer = await patch(fixture, { reads: 25 }, epoch, '?dryRun=true')
  test.match(answer.json, { applied: false, after: { reads: 25, epoch: epoch + 1 } })
  test.equal(answer.headers.get('etag'), `"${epoch}"`)
  test.equal(fixture.service.route.epoch, epoch)
})

void t.test('wrong bodies are named, never coerced', async (test) => {
  const fixture = await startFixture(test)
  const { epoch } = fixture.service.route
  const bodies: readonly (readonly [body: unknown, words: RegExp])[] = [
    [{ reads: null }, /reads/],
    [{ reads: '50' }, /reads/],
    [{ reads: true }, /reads/],
    [{ reads: 101 }, /reads.*100/],
    [{ reads: -1 }, /reads/],
    [{ reeds: 5 }, /additional properties/],
    [{}, /fewer than 1/],
    [[], /object/],
    [{ phase: 'managd' }, /phase/],
    ['{"reads": 5', /JSON/],
    ['', /JSON|empty/i],
  ]
  for (const [body, words] of bodies) {
    const answer = await patch(fixture, body, epoch)
    test.equal(answer.status, 400, JSON.stringify(body))
    test.equal(answer.json['code'], 'BAD_REQUEST')
    test.match(answer.json['detail'], words)
  }
  test.equal(fixture.service.route.epoch, epoch)
})

void t.test('unknown services, pages and methods answer with a problem', async (test) => {
  const { request } = await startFixture(test)
  const missing = await request('/v1/services/nope')
  test.equal(missing.status, 404)
  test.match(missing.json, { code: 'NOT_FOUND', instance: '/v1/services/nope' })
  test.match(missing.json['detail'], /orders/, 'names what there is')
  for (const path of ['/nope', '/v1/services/%zz', '/v1/services/orders/route']) {
    const answer = await request(path)
    test.match(answer.json, { code: /NOT_FOUND|BAD_REQUEST/ }, path)
    test.match(answer.headers.get('content-type'), /^application\/problem\+json/, path)
  }
  const large = await request('/v1/services/orders/route', {
    method: 'PATCH',
    body: { reads: 5, padding: 'x'.repeat(20_000) },
    headers: { 'If-Match': '1' },
  })
  test.equal(large.status, 413)
  test.equal(large.json['code'], 'MESSAGE_TOO_LARGE')
})

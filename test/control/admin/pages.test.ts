/** What a browser gets: status page, API documentation, health, and their headers. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { send, startFixture } from '../fixture.ts'

void t.test(
  'the status page and its files, under a strict policy, without a token',
  async (test) => {
    const { request } = await startFixture(test, { tokens: true })
    const page = await request('/')
    test.equal(page.status, 200)
    test.match(page.headers.get('content-type'), /^text\/html/)
    test.match(page.headers.get('content-security-policy'), /default-src 'none'.*script-src 'self'/)
    test.equal(page.headers.get('x-content-type-options'), 'nosniff')
    const files = [...page.text.matchAll(/(?:href|src)="(\/console\/[^"]+)"/g)].map(
      ([, path]) => path,
    )
    test.equal(files.length, 2)
    for (const file of files) test.equal((await request(file ?? '')).status, 200, file ?? '')
    test.notMatch(page.text, /<script>|onclick|style=/, 'nothing inline')
    const script = (await request('/console/status.js')).text
    const asked = [...script.matchAll(/getElementById\('([^']+)'\)/g)].map(([, id]) => id)
    test.not(asked.length, 0)
    for (const id of asked) test.ok(page.text.includes(`id="${id}"`), `the page has ${id}`)
  },
)

void t.test('every route of the contract is in the OpenAPI document', async (test) => {
  const { request } = await startFixture(test)
  const { json } = await request('/openapi.json')
  test.match(json['openapi'], /^3\./)
  const routes = Object.entries(Object(json['paths'])).flatMap(([path, methods]) =>
    Object.keys(Object(methods)).map((method) => `${method.toUpperCase()} ${path}`),
  )
  test.same(routes.toSorted(), [
    'GET /health/live',
    'GET /health/ready',
    'GET /health/startup',
    'GET /metrics',
    'GET /v1/audit',
    'GET /v1/events',
    'GET /v1/operations/{id}',
    'GET /v1/services',
    'GET /v1/services/{service}',
    'GET /v1/services/{service}/clients',
    'PATCH /v1/services/{service}/route',
    'POST /v1/operations/{id}/abort',
    'POST /v1/services/{service}/cutover',
    'POST /v1/services/{service}/pause',
    'POST /v1/services/{service}/reconnect',
    'POST /v1/services/{service}/resume',
    'POST /v1/services/{service}/rollback',
  ])
})

void t.test('the documentation page loads nothing from elsewhere', async (test) => {
  const { request } = await startFixture(test)
  const page = await request('/docs')
  test.equal(page.status, 200)
  test.notMatch(page.text, /(?:src|href)="https?:/)
  const script = /src="([^"]*swagger-ui-bundle[^"]*)"/.exec(page.text)?.[1] ?? ''
  test.equal((await request(new URL(script, 'http://x/docs/').pathname)).status, 200)
})

void t.test('readiness says why and does not follow the databases', async (test) => {
  const { request, runtime } = await startFixture(test, {
    probeSide: async () => ({
      reachable: false,
      code: 'CONNECT_FAILED',
      message: 'nobody listens on 127.0.0.1:5432',
      version: '',
      latencyMs: null,
    }),
  })
  const ready = await request('/health/ready')
  test.equal(ready.status, 200)
  test.match(ready.json, {
    ok: true,
    reasons: [/orders: the source: nobody listens/, /the target/],
  })
  test.equal((await request('/health/startup')).status, 200)
  test.match((await request('/v1/services/orders')).json, {
    sides: { source: { state: 'unreachable', code: 'CONNECT_FAILED' } },
  })
  runtime.health.become('stopping')
  const stopping = await request('/health/ready')
  test.equal(stopping.status, 503)
  test.match(stopping.json, { ok: false, reasons: [/shutting down/] })
  test.equal((await request('/health/live')).status, 200)
})

void t.test(
  'the probe listener serves health and metrics to any Host, and nothing else',
  async (test) => {
    const { runtime } = await startFixture(test, { extra: 'probe: { listen: 127.0.0.1:0 }' })
    const base = runtime.probeAddress ?? ''
    test.equal((await send(base, '/health/ready', {})).status, 200)
    test.match((await send(base, '/metrics', {})).text, /pontoon_route_epoch\{service="orders"\}/)
    for (const path of ['/', '/v1/services', '/v1/audit', '/docs', '/openapi.json']) {
      const answer = await send(base, path, {})
      test.equal(answer.status, 404, path)
      test.equal(answer.json['code'], 'NOT_FOUND')
    }
  },
)

void t.test('docs/admin-api.md lists exactly the routes there are', async (test) => {
  const { request } = await startFixture(test)
  const { json } = await request('/openapi.json')
  const routes = Object.entries(Object(json['paths'])).flatMap(([path, methods]) =>
    Object.keys(Object(methods)).map((method) => `${method.toUpperCase()} ${path}`),
  )
  const page = readFileSync(new URL('../../../docs/admin-api.md', import.meta.url), 'utf8')
  const documented = [...page.matchAll(/^\| `((?:GET|POST|PATCH) [^`]+)`/gm)].map(
    ([, route = '']) => route,
  )
  test.same(new Set(documented), new Set(routes))
  test.equal(documented.length, routes.length)
})

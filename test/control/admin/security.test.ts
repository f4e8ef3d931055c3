/** Who gets in: Host and Origin, tokens, roles, the limit on guessing. */
import http from 'node:http'
import t from 'tap'
import { operatorToken, startFixture, viewerToken } from '../fixture.ts'

/** fetch does not let its caller choose Host, an attacker's browser does it by its URL. */
function statusWith(url: string, headers: Record<string, string>): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { headers }, (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
    request.on('error', reject)
  })
}

void t.test('Host of a rebound name is refused, the names of loopback are not', async (test) => {
  const { runtime } = await startFixture(test)
  const url = `${runtime.adminAddress}/v1/services`
  const cases: readonly (readonly [host: string, status: number])[] = [
    ['attacker.example', 403],
    ['attacker.example:7070', 403],
    ['127.0.0.1.attacker.example', 403],
    ['localhost.attacker.example', 403],
    ['192.168.1.5', 403],
    ['localhost@attacker.example', 403],
    ['localhost', 200],
    ['localhost:9999', 200],
    ['127.0.0.1:7070', 200],
    ['[::1]:7070', 200],
  ]
  for (const [host, status] of cases) {
    test.equal(await statusWith(url, { host }), status, host)
  }
})

void t.test('a page of another origin is refused, our own page is not', async (test) => {
  const { runtime } = await startFixture(test)
  const { host } = new URL(runtime.adminAddress)
  const url = `${runtime.adminAddress}/v1/services`
  test.equal(await statusWith(url, { origin: 'https://attacker.example' }), 403)
  test.equal(await statusWith(url, { origin: 'null' }), 403)
  test.equal(await statusWith(url, { origin: 'http://127.0.0.1:1' }), 403, 'same host, other port')
  test.equal(await statusWith(url, { origin: `http://${host}` }), 200)
})

void t.test('a cross-site POST is refused and audited', async (test) => {
  const { request, service } = await startFixture(test)
  const answer = await request('/v1/services/orders/pause', {
    method: 'POST',
    headers: { Origin: 'https://attacker.example' },
  })
  test.equal(answer.status, 403)
  test.equal(answer.json['code'], 'HOST_NOT_ALLOWED')
  test.notOk(service.calls.includes('pause 5000 1000'))
  const { json } = await request('/v1/audit?last=1')
  test.match(json, { entries: [{ outcome: 'refused', details: { code: 'HOST_NOT_ALLOWED' } }] })
})

void t.test('tokens and roles', async (test) => {
  const { request, service } = await startFixture(test, { tokens: true })
  const pause = { method: 'POST', body: {} }
  test.equal((await request('/v1/services')).status, 401, 'none')
  const wrong = await request('/v1/services', { token: 'guess' })
  test.equal(wrong.status, 401)
  test.equal(wrong.json['code'], 'UNAUTHENTICATED')
  test.equal(wrong.headers.get('www-authenticate'), 'Bearer')
  test.equal((await request('/v1/services', { token: viewerToken })).status, 200)
  test.equal((await request('/metrics')).status, 401)
  test.equal((await request('/metrics', { token: viewerToken })).status, 200)
  test.equal((await request('/health/ready')).status, 200, 'health needs no token')
  const refused = await request('/v1/services/orders/pause', { ...pause, token: viewerToken })
  test.equal(refused.status, 403)
  test.equal(refused.json['code'], 'FORBIDDEN')
  test.same(service.calls, ['listen'])
  const done = await request('/v1/services/orders/pause', { ...pause, token: operatorToken })
  test.equal(done.status, 200)
  const { json } = await request('/v1/audit?last=2', { token: viewerToken })
  test.match(json, {
    entries: [
      { actor: 'eyes', role: 'viewer', action: 'request', outcome: 'refused', service: 'orders' },
      { actor: 'ops', role: 'operator', action: 'gate.pause', outcome: 'done', service: 'orders' },
    ],
  })
})

void t.test('who guesses tokens has to wait, even with the right one', async (test) => {
  const { request } = await startFixture(test, { tokens: true })
  for (let attempt = 0; attempt < 10; attempt += 1) {
    test.equal((await request('/v1/services', { token: `guess-${attempt}` })).status, 401)
  }
  const limited = await request('/v1/services', { token: 'guess-11' })
  test.equal(limited.status, 429)
  test.equal(limited.json['code'], 'RATE_LIMITED')
  test.ok(limited.headers.has('retry-after'))
  test.equal((await request('/v1/services', { token: operatorToken })).status, 429)
  test.equal((await request('/health/live')).status, 200)
})

void t.test('one wrong token again and again locks nobody out', async (test) => {
  const { request } = await startFixture(test, { tokens: true })
  for (let attempt = 0; attempt < 15; attempt += 1) {
    test.equal((await request('/metrics', { token: 'an-old-token' })).status, 401)
  }
  test.equal((await request('/v1/services', { token: operatorToken })).status, 200)
})

void t.test('what is not HTTP gets a problem and a closed connection', async (test) => {
  const { runtime } = await startFixture(test)
  const { hostname, port } = new URL(runtime.adminAddress)
  const { connect } = await import('node:net')
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) })
    let received = ''
    socket.setEncoding('utf8')
    socket.on('data', (data: string) => {
      received += data
    })
    socket.on('close', () => resolve(received))
    socket.on('error', reject)
    socket.write('\u0016\u0003\u0001 this is no HTTP\r\n\r\n')
  })
  test.match(answer, /^HTTP\/1\.1 400/)
  test.match(answer, /"code":"BAD_REQUEST"/)
})

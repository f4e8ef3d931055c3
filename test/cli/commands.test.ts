/** The commands that act on a running sidecar, against a control plane with a fake service. */
import { createServer } from 'node:http'
import t from 'tap'
import { fakeClient } from '../control/fake-service.ts'
import { operatorToken, startFixture, viewerToken } from '../control/fixture.ts'
import { freePort } from '../support/free-port.ts'
import { listenLocally } from '../support/listen.ts'
import { pontoon } from './capture.ts'
import type { Captured } from './capture.ts'

type Run = (line: string, env?: Readonly<Record<string, string>>) => Promise<Captured>

function against(admin: string): Run {
  return (line, env = {}) => pontoon(line.split(' '), { PONTOON_ADMIN: admin, ...env })
}

void t.test('status shows all services, or one in detail', async (test) => {
  const { runtime } = await startFixture(test)
  const run = against(runtime.adminAddress)
  const all = await run('status')
  test.equal(all.exit, 0)
  test.match(all.out, /SERVICE +PHASE.*\norders +self-hosted +source +0% +1 +open +3 /)
  const one = await run('status orders')
  test.match(one.out, /reads on target +0%/)
  test.match(one.out, /clients +2 idle, 1 active/)
  const { json } = await run('status orders --json')
  test.match(json, { name: 'orders', route: { epoch: 1 }, gate: { state: 'open' } })
  const unknown = await run('status nope')
  test.equal(unknown.exit, 1)
  test.match(unknown.err, /No service 'nope'; there is orders. \[NOT_FOUND\]/)
})

void t.test('status names each pinned client with its reason, or all clients', async (test) => {
  const { runtime, service } = await startFixture(test)
  const run = against(runtime.adminAddress)
  service.busy = [{ ...fakeClient(7), state: 'pinned', pinReason: 'temp-table' }, fakeClient(8)]
  service.snapshotExtra = { pinned: { 'temp-table': 1 } }
  const pinned = await run('status orders')
  test.match(pinned.out, /pinned +1 temp-table/)
  test.match(pinned.out, / 7 +app .*4242 +pinned \(temp-table\)/)
  test.notMatch(pinned.out, /^ +8 +app/m)
  const all = await run('status orders --clients')
  test.match(all.out, /pinned \(temp-table\).*\n +8 +app .*active/)
  test.match((await run('status orders --json')).json, {
    clientList: [{ id: 7, pinReason: 'temp-table' }],
  })
})

void t.test('shift prints before and after, and says when there is nothing to do', async (test) => {
  const { runtime, service } = await startFixture(test)
  const run = against(runtime.adminAddress)
  const { exit, out } = await run('shift orders --reads 25')
  test.equal(exit, 0)
  test.equal(out, 'orders changed:\n  reads on the target: 0% → 25%\n  epoch: 1 → 2\n')
  test.equal(service.route.reads, 25)
  test.match((await run('shift orders --reads 25')).out, /nothing to change \(epoch 2\)/)
  const { json } = await run('shift orders --reads 0 --json')
  test.match(json, { service: 'orders', applied: true, before: { reads: 25 }, after: { reads: 0 } })
})

void t.test('a dry run changes nothing', async (test) => {
  const { runtime, service } = await startFixture(test)
  const run = against(runtime.adminAddress)
  test.match((await run('shift orders --reads 25 --dry-run')).out, /would change:.*0% → 25%/s)
  test.match((await run('pause orders --dry-run')).out, /would be paused for at most 5.0 s; 1 of/)
  test.match((await run('resume orders --dry-run')).out, /was not paused/)
  test.match((await run('reconnect orders --dry-run')).out, /would be replaced/)
  test.same(service.calls, ['listen'])
  test.equal(service.route.epoch, 1)
})

void t.test(
  'shift with an epoch is refused when stale, without one it tries again',
  async (test) => {
    const fixture = await startFixture(test)
    const run = against(fixture.runtime.adminAddress)
    const stale = await run('shift orders --reads 25 --epoch 99')
    test.equal(stale.exit, 3)
    test.match(stale.err, /at epoch 1, not 99.*EPOCH_STALE.*pontoon status/s)
    // Somebody else changes the route between the read and the change: exactly once.
    const racing = createServer((request, answer) => {
      const body: Buffer[] = []
      request.on('data', (chunk: Buffer) => body.push(chunk))
      request.on('end', () => void forward(Buffer.concat(body).toString()))
      const forward = async (text: string): Promise<void> => {
        if (request.method === 'PATCH' && fixture.service.route.epoch === 1) {
          await run('shift orders --reads 10')
        }
        const { method = '', url = '', headers } = request
        const ifMatch = headers['if-match']
        const given = await fixture.request(url, {
          method,
          ...(text === '' ? {} : { body: text }),
          ...(ifMatch === undefined ? {} : { headers: { 'If-Match': ifMatch } }),
        })
        answer.statusCode = given.status
        answer.end(given.text)
      }
    })
    const port = await listenLocally(racing)
    test.teardown(() => racing.close())
    const retried = await against(`http://127.0.0.1:${port}`)('shift orders --reads 50')
    test.equal(retried.exit, 0)
    test.match(retried.out, /10% → 50%\n {2}epoch: 2 → 3/)
  },
)

void t.test('what is refused exits with 3 and says why', async (test) => {
  const { runtime } = await startFixture(test)
  const { exit, err } = await against(runtime.adminAddress)('phase orders managed')
  test.equal(exit, 3)
  test.match(err, /cutover.*\[ROUTE_REFUSED\]/)
})

void t.test(
  'pause exits with 5 while sessions still hold servers, and lists them',
  async (test) => {
    const { runtime, service } = await startFixture(test)
    const run = against(runtime.adminAddress)
    service.busy = [fakeClient(7)]
    const waiting = await run('pause orders --for 20s --wait 10ms')
    test.equal(waiting.exit, 5)
    test.match(waiting.out, /1 session still holds a server.*CLIENT.*\n +7 +app +shop/s)
    test.match((await run('resume orders')).out, /orders goes on/)
    service.busy = []
    const drained = await run('pause orders')
    test.equal(drained.exit, 0)
    test.match(drained.out, /paused and drained; it opens by itself after 5.0 s/)
    await run('resume orders')
  },
)

void t.test('a sidecar that is not there, or is something else', async (test) => {
  const port = await freePort()
  const nobody = await against(`http://127.0.0.1:${port}`)('status')
  test.equal(nobody.exit, 1)
  test.match(
    nobody.err,
    /no sidecar answers at http:\/\/127.*ECONNREFUSED.*pontoon serve --config/s,
  )
  const other = createServer((_, answer) => answer.end('<html>hello</html>'))
  const otherPort = await listenLocally(other)
  test.teardown(() => other.close())
  const wrong = await against(`http://127.0.0.1:${otherPort}`)('status --json')
  test.equal(wrong.exit, 1)
  test.match(wrong.json, { error: { code: 'ADMIN_UNREACHABLE', message: /is no Pontoon sidecar/ } })
})

void t.test('tokens come from PONTOON_TOKEN', async (test) => {
  const { runtime } = await startFixture(test, { tokens: true })
  const run = against(runtime.adminAddress)
  const without = await run('status')
  test.equal(without.exit, 1)
  test.match(without.err, /UNAUTHENTICATED.*PONTOON_TOKEN/s)
  test.equal((await run('status', { PONTOON_TOKEN: viewerToken })).exit, 0)
  const viewer = await run('shift orders --reads 5', { PONTOON_TOKEN: viewerToken })
  test.equal(viewer.exit, 1)
  test.match(viewer.err, /FORBIDDEN.*operator/s)
  test.equal((await run('shift orders --reads 5', { PONTOON_TOKEN: operatorToken })).exit, 0)
})

void t.test('health asks one probe and exits with its answer', async (test) => {
  const { runtime } = await startFixture(test, { tokens: true })
  const run = against(runtime.adminAddress)
  test.match(await run('health'), { exit: 0, out: 'yes: running\n' })
  test.match(await run('health startup --json'), { exit: 0, json: { probe: 'startup', ok: true } })
  test.match(await run('health alive'), { exit: 2, err: /startup, live, ready/ })
  runtime.health.become('stopping')
  test.match(await run('health'), { exit: 1, out: /no: stopping\n.*shutting down/ })
  test.match(await run('health live'), { exit: 0 })
  const nobody = await run(`health --admin http://127.0.0.1:${await freePort()}`)
  test.match(nobody, { exit: 1, err: /ADMIN_UNREACHABLE/ })
})

/** How a sidecar starts, fails to start, and stops. */
import { createServer } from 'node:net'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/control/logging.ts'
import { startRuntime } from '../../src/control/runtime.ts'
import { systemClock } from '../../src/shared/clock.ts'
import { listenLocally } from '../support/listen.ts'
import { FakeService } from './fake-service.ts'
import { startFixture } from './fixture.ts'

void t.test(
  'stop drains for as long as configured, closes once, and frees the state',
  async (test) => {
    const { runtime, service, configFile } = await startFixture(test, {
      extra: 'drainTimeoutMs: 77',
    })
    await Promise.all([runtime.stop('one'), runtime.stop('two')])
    test.ok(service.calls.includes('close 77'))
    test.equal(runtime.health.state, 'stopping')
    await test.rejects(fetch(runtime.adminAddress), 'the admin listener is closed')
    const { config } = loadConfig([configFile], {})
    const next = await startRuntime({
      config,
      configFiles: [configFile],
      log: createLog('error'),
      clock: systemClock,
      createService: (options) => new FakeService(options),
    })
    await next.stop('test', 0)
  },
)

void t.test('a start that fails leaves nothing behind and says why', async (test) => {
  const blocker = createServer()
  const port = await listenLocally(blocker)
  test.teardown(() => blocker.close())
  const folder = test.testdir({
    'pontoon.yml': `
admin: { listen: 127.0.0.1:${port} }
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:0
    clientAuth: { mode: trust }
    source: { host: 127.0.0.1, port: 5432 }
    target: { host: 127.0.0.1, port: 5433 }
`,
  })
  const { config } = loadConfig([`${folder}/pontoon.yml`], {})
  const made: FakeService[] = []
  const options = {
    config,
    configFiles: [],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
    createService: (given: ConstructorParameters<typeof FakeService>[0]) => {
      const service = new FakeService(given)
      made.push(service)
      return service
    },
  }
  await test.rejects(startRuntime(options), { code: 'LISTEN_IN_USE' })
  test.match(made[0]?.calls, ['listen', 'close 0'])
  await test.rejects(startRuntime(options), { code: 'LISTEN_IN_USE' }, 'not STATE_LOCKED')
})

void t.test('two sidecars cannot share a state folder', async (test) => {
  const { runtime, configFile } = await startFixture(test)
  const second = startRuntime({
    config: runtime.config,
    configFiles: [configFile],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
    createService: (options) => new FakeService(options),
  })
  await test.rejects(second, { code: 'STATE_LOCKED' })
})

void t.test('sides that never answer delay neither start nor stop', async (test) => {
  // Who waited for them would wait for ever.
  const { runtime, request } = await startFixture(test, {
    probeSide: () => new Promise(() => undefined),
  })
  test.match((await request('/v1/services/orders')).json, {
    sides: { source: { state: 'unknown' } },
  })
  await runtime.stop('test', 0)
})

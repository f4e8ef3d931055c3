/** A reload applies what can change, names what cannot, and takes nothing of a wrong file. */
import t from 'tap'
import { startFixture } from './fixture.ts'

void t.test('what is live counts, what is not is named', async (test) => {
  const { runtime, service, writeConfig } = await startFixture(test)
  writeConfig(
    [
      '    limits: { clientsMax: 7 }',
      'log: { level: warn }',
      'drainTimeoutMs: 123',
      'probe: { listen: 127.0.0.1:0 }',
    ].join('\n'),
  )
  const report = await runtime.reload('test')
  test.match(report.needRestart, ['probe'])
  test.same(report.applied.toSorted(), [
    'drainTimeoutMs',
    'log.level',
    'services.orders.limits.clientsMax',
  ])
  test.equal(service.config.limits.clientsMax, 7)
  test.equal(runtime.config.drainTimeoutMs, 123)
  const again = await runtime.reload('test')
  test.same(again.applied, [], 'nothing left to apply')
  test.match(again.needRestart, ['probe'], 'still to be done')
})

void t.test('a wrong file changes nothing and is recorded', async (test) => {
  const { runtime, service, writeConfig, request } = await startFixture(test)
  const before = runtime.config
  writeConfig(['    limits: { clientsMax: 7 }', 'drainTimeoutMs: soon'].join('\n'))
  await test.rejects(runtime.reload('SIGHUP'), { code: 'CONFIG_INVALID' })
  test.equal(runtime.config, before)
  test.not(service.config.limits.clientsMax, 7)
  const { json } = await request('/v1/audit')
  test.match(json, {
    entries: [{ actor: 'SIGHUP', role: 'system', action: 'config.reload', outcome: 'refused' }],
  })
})

void t.test('new tokens count at once, old ones no more', async (test) => {
  const { runtime, request, configFile } = await startFixture(test, { tokens: true })
  const { readFileSync, writeFileSync } = await import('node:fs')
  const text = readFileSync(configFile, 'utf8')
  writeFileSync(configFile, text.replace('viewer-token-1', 'viewer-token-2'))
  await runtime.reload('test')
  test.equal((await request('/v1/services', { token: 'viewer-token-1' })).status, 401)
  test.equal((await request('/v1/services', { token: 'viewer-token-2' })).status, 200)
})

void t.test('TLS files that cannot be used are told', async (test) => {
  const { runtime, service, request } = await startFixture(test)
  const problem = 'TLS files of the client leg of orders: the new certificate has expired already'
  service.snapshotExtra = {
    certificates: [
      { leg: 'client', expiresMs: 1_700_000_000_000, problem },
      { leg: 'target', expiresMs: null, problem: null },
    ],
  }
  const { warnings } = await runtime.reload('test')
  test.match(warnings, [`${problem}; the ones before stay in use`])
  const { json } = await request('/health/ready')
  test.match(json, { ok: true, reasons: [`${problem}; the ones before stay in use`] })
  const { text } = await request('/metrics')
  test.match(text, 'pontoon_certificate_unusable{service="orders",leg="client"} 1\n')
  test.match(text, 'pontoon_certificate_unusable{service="orders",leg="target"} 0\n')
  const expiry = 'pontoon_certificate_expires_at{service="orders",leg="client"} 1700000000\n'
  test.match(text, expiry)
  test.notMatch(text, 'expires_at{service="orders",leg="target"}', 'it shows no certificate')
  const view = await request('/v1/services/orders')
  test.match(view.json, { certificates: [{ leg: 'client', problem }, { leg: 'target' }] })
})

/** The admin listener over TLS, and what may be exposed at all. */
import { writeFileSync } from 'node:fs'
import https from 'node:https'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { createLog } from '../../../src/control/logging.ts'
import { startRuntime } from '../../../src/control/runtime.ts'
import type { Runtime } from '../../../src/control/runtime.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import { FakeService } from '../fake-service.ts'

const service = `
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:0
    clientAuth: { mode: trust }
    source: { host: 127.0.0.1, port: 5432 }
    target: { host: 127.0.0.1, port: 5433 }
`

function start(folder: string, text: string): Promise<Runtime> {
  const file = join(folder, 'pontoon.yml')
  writeFileSync(file, text + service)
  return startRuntime({
    config: loadConfig([file], {}).config,
    configFiles: [file],
    log: createLog('error', { write: () => undefined }),
    clock: systemClock,
    createService: (options) => new FakeService(options),
  })
}

void t.test('answers over TLS with its certificate', async (test) => {
  const authority = await createAuthority()
  test.teardown(() => authority.remove())
  const { cert, key } = await authority.server()
  const folder = test.testdir({ 'admin.pem': cert, 'admin.key': key })
  const runtime = await start(
    folder,
    'admin: { listen: 127.0.0.1:0, tls: { cert: admin.pem, key: admin.key } }',
  )
  test.teardown(() => runtime.stop('test', 0))
  test.match(runtime.adminAddress, /^https:/)
  const status = await new Promise<number>((resolve, reject) => {
    const request = https.get(`${runtime.adminAddress}/v1/services`, { ca: authority.ca.cert })
    request.on('error', reject)
    request.on('response', (answer) => {
      answer.resume()
      resolve(answer.statusCode ?? 0)
    })
  })
  test.equal(status, 200)
})

void t.test('beyond loopback without tokens or TLS it does not start', async (test) => {
  const folder = test.testdir({})
  const refused = async (): Promise<unknown> => start(folder, 'admin: { listen: 0.0.0.0:0 }')
  await test.rejects(refused(), { code: 'CONFIG_INVALID', message: /admin.tokens.*admin.tls/s })
})

void t.test('a certificate that cannot be read is named', async (test) => {
  const folder = test.testdir({})
  const missing = start(folder, 'admin: { listen: 127.0.0.1:0, tls: { cert: a.pem, key: a.key } }')
  await test.rejects(missing, { code: 'CONFIG_UNREADABLE', message: /admin.tls.*a.pem/s })
})

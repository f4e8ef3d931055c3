/** Fuzzing of the startup, boxed in time; the long run is in test/soak. */
import t from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import { message, int32, text } from '../../support/pg-frontend.ts'
import { startPontoon } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { fuzzStartup, isInProtocol } from './startup-fuzz.ts'

const authority = await createAuthority()
const { certPath: cert, keyPath: key } = await authority.server()
const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(async () => {
  await server.stop()
  authority.remove()
})

const growthBytesMax = 300 * 1024 * 1024

const configs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  'trust, no TLS': {},
  'SCRAM and TLS': {
    clientAuth: { mode: 'scram' },
    users: { postgres: { verifier: 'secret' }, anna: { verifier: 'secret' } },
    clientTls: { mode: 'prefer', cert, key },
  },
}

for (const [name, config] of Object.entries(configs)) {
  void t.test(`startup is fuzzed: ${name}`, async (test) => {
    const limits = { clientsMax: 500 }
    const pontoon: Pontoon = await startPontoon({ source: server, config: { ...config, limits } })
    test.teardown(() => pontoon.stop())
    const bystander = await pontoon.client({ password: 'secret' })
    pontoon.tighten({ limits: { loginTimeoutMs: 250 } })
    const before = process.memoryUsage().rss
    const played = await fuzzStartup({ pontoon, bystander, timeMs: 2_500 })
    test.ok(played > 20, `${played} scripts`)
    const grownBytes = process.memoryUsage().rss - before
    test.ok(grownBytes < growthBytesMax, `${Math.round(grownBytes / 1024 / 1024)} MiB more`)
    await pontoon.untilIdle()
  })
}

void t.test('the judge of answers is no yes-man', (test) => {
  const ok = message('R', int32(0))
  const fatal = message('E', text('SFATAL'), Buffer.from([0]))
  const good = [
    Buffer.alloc(0),
    Buffer.from('N'),
    Buffer.from('NS'),
    ok,
    Buffer.concat([ok, fatal]),
  ]
  for (const bytes of good) test.ok(isInProtocol(bytes), bytes.toString('hex'))
  const bad = [
    Buffer.concat([fatal, fatal]),
    Buffer.concat([fatal, ok]),
    ok.subarray(0, 4),
    ok.subarray(0, 8),
    Buffer.from('X'),
    message('d', ok),
    Buffer.concat([Buffer.from('S'), fatal]),
  ]
  for (const bytes of bad) test.notOk(isInProtocol(bytes), bytes.toString('hex'))
  test.end()
})

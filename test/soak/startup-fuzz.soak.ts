/** Ten minutes of clients that say anything before they are logged in; memory stays flat. */
import t from 'tap'
import { createAuthority } from '../support/certificates.ts'
import { startPontoon } from '../support/pontoon.ts'
import { startPostgres } from '../support/postgres.ts'
import { fuzzStartup } from '../proxy/pg/startup-fuzz.ts'

const rounds = 10
const roundMs = 60_000
const growthBytesMax = 100 * 1024 * 1024

const authority = await createAuthority()
const { certPath: cert, keyPath: key } = await authority.server()
const server = await startPostgres({ major: 15, auth: 'trust' })
const pontoon = await startPontoon({
  source: server,
  config: {
    clientAuth: { mode: 'scram' },
    users: { postgres: { verifier: 'secret' }, anna: { verifier: 'secret' } },
    clientTls: { mode: 'prefer', cert, key },
    limits: { loginTimeoutMs: 250, clientsMax: 500 },
  },
})
t.teardown(async () => {
  await pontoon.stop()
  await server.stop()
  authority.remove()
})

void t.test('startup is fuzzed for long', { timeout: 2 * rounds * roundMs }, async (test) => {
  const bystander = await pontoon.client({ password: 'secret' })
  let settled = 0
  for (let round = 0; round < rounds; round += 1) {
    const played = await fuzzStartup({ pontoon, bystander, timeMs: roundMs })
    await pontoon.untilIdle()
    const { rss } = process.memoryUsage()
    // The first round fills caches and the heap.
    if (round === 0) settled = rss
    const grownMiB = Math.round((rss - settled) / 1024 / 1024)
    test.ok(rss - settled < growthBytesMax, `${played} scripts, ${grownMiB} MiB more`)
  }
})

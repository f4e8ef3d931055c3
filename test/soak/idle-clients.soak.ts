/** 10,000 idle clients of a PostgreSQL service in less than 300 MB of resident memory. */
import tap from 'tap'
import { freePort } from '../support/free-port.ts'
import { startPostgres } from '../support/postgres.ts'
import { crowdSize, testCrowd } from './crowd.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
tap.teardown(() => server.stop())
const nobodyAt = await freePort()

await testCrowd({
  holder: 'idle-clients.ts',
  residentMbMax: 300,
  service: (port) => `  orders:
    protocol: postgres
    listen: 127.0.0.1:${port}
    clientAuth: { mode: trust }
    limits: { clientsMax: ${crowdSize + 100} }
    pool: { mode: transaction, size: 20, queueMax: ${crowdSize}, queueTimeoutMs: 60000 }
    source: { host: 127.0.0.1, port: ${server.port}, tls: { mode: disable } }
    target: { host: 127.0.0.1, port: ${nobodyAt}, tls: { mode: disable } }
`,
})

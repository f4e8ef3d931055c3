/** 10,000 idle clients of a Redis service in less than 250 MB of resident memory. */
import tap from 'tap'
import { freePort } from '../support/free-port.ts'
import { startRedis } from '../support/redis.ts'
import { crowdSize, testCrowd } from './crowd.ts'

const redis = await startRedis()
tap.teardown(() => redis.stop())
const nobodyAt = await freePort()

await testCrowd({
  holder: 'redis-idle-clients.ts',
  residentMbMax: 250,
  service: (port) => `  cache:
    protocol: redis
    listen: 127.0.0.1:${port}
    clientAuth: { mode: trust }
    limits: { clientsMax: ${crowdSize + 100} }
    source: { host: 127.0.0.1, port: ${redis.port} }
    target: { host: 127.0.0.1, port: ${nobodyAt} }
`,
})

/**
 * How long the gate stays shut while crowds of subscribers follow the primary side, with everything
 * on this machine. All of 300 must be there after each move; of 2,000 so many as the CPU allows
 * within the three seconds that they have, so that is printed only.
 */
import tap from 'tap'
import { startRedisPontoon } from '../support/redis-pontoon.ts'
import { startRedis } from '../support/redis.ts'
import { until } from '../support/until.ts'

const crowds = [300, 2_000]
const comeAtOnce = 100

const [source, target] = await Promise.all([startRedis(), startRedis()])
tap.setTimeout(300_000)
tap.teardown(() => Promise.all([source.stop(), target.stop()]))

for (const mode of ['multiplexed', 'pinned'] as const)
  for (const count of crowds)
    await tap.test(`${count} subscribers, ${mode}`, async (t) => {
      const pool = { queueTimeoutMs: 60_000 }
      const pontoon = await startRedisPontoon({ source, target, mode, pool })
      t.teardown(() => pontoon.stop())
      for (let come = 0; come < count; come += comeAtOnce)
        await Promise.all(
          Array.from({ length: comeAtOnce }, async () => {
            const client = await pontoon.client()
            client.send('SUBSCRIBE', 'news')
            await client.value()
          }),
        )
      const { service } = pontoon
      for (const side of ['target', 'source', 'target'] as const) {
        const hold = service.beginSwitch('a test')
        t.equal((await hold.drained(5_000)).drained, true)
        const shutMs = performance.now()
        service.applyRoute({ ...service.route, epoch: service.route.epoch + 1, primary: side })
        hold.release({ gradually: true })
        await until(() => service.snapshot().gate.state === 'open', 'the gate is open')
        const gateMs = Math.round(performance.now() - shutMs)
        const server = side === 'target' ? target : source
        const there = Number(await server.call('PUBLISH', 'news', side))
        t.comment(`to the ${side}: gate shut for ${gateMs} ms; ${there} of ${count} are there`)
        if (count === crowds[0]) t.equal(there, count, 'all are there')
      }
    })

/** Storms, clients that read nothing and servers killed under them: bounded, and nothing is left. */
import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { query } from '../../support/pg-frontend.ts'
import { errorFields } from '../../support/pg-wire.ts'
import { ask, present, rawClient, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

const soonMs = 60_000

/** Open handles of this process by kind; sockets of both ends of every connection are among them. */
function handles(): Record<string, number> {
  const counts: Record<string, number> = { TCPSocketWrap: 0, TCPServerWrap: 0, Timeout: 0 }
  for (const kind of process.getActiveResourcesInfo())
    if (counts[kind] !== undefined) counts[kind] += 1
  return counts
}

/** Runs against a service of its own, and holds it to leave no socket, listener or timer behind. */
async function leavesNothing(
  options: Omit<Parameters<typeof startPontoon>[0], 'source'>,
  run: (pontoon: Pontoon) => Promise<void>,
): Promise<void> {
  const before = handles()
  const pontoon = await startPontoon({ source: server, ...options })
  try {
    await run(pontoon)
    await pontoon.untilIdle(soonMs)
  } finally {
    await pontoon.stop()
  }
  await until(
    () => Object.entries(handles()).every(([kind, count]) => count <= (before[kind] ?? 0)),
    'all handles to be closed',
    soonMs,
  )
}

await t.test('a storm of 1,000 connects: served or refused, none left hanging', async (test) => {
  const options = {
    pool: { size: 5, queueMax: 100, queueTimeoutMs: 30_000 },
    config: { limits: { clientsMax: 700, loginTimeoutMs: 30_000 } },
  }
  await leavesNothing(options, async (pontoon) => {
    const refusals: string[] = []
    let served = 0
    const everybody = new EventEmitter()
    const answered = once(everybody, 'answered')
    const one = async (): Promise<void> => {
      try {
        const client = await rawClient(pontoon.port)
        test.equal(await value(client, 'SELECT 1'), '1')
        served += 1
        // Stays, so that the bound on clients is reached.
        if (served + refusals.length === 1_000) everybody.emit('answered')
        await answered
        client.wire.destroy()
      } catch (error) {
        refusals.push(error instanceof Error ? error.message : String(error))
        if (served + refusals.length === 1_000) everybody.emit('answered')
      }
    }
    await Promise.all(Array.from({ length: 1_000 }, one))
    test.ok(served > 0 && served <= 700, `${served} served`)
    test.ok(pontoon.service.stats.servers.source.opened <= 5, 'five servers did it')
    for (const text of new Set(refusals)) test.match(text, /^53300: /)
    const counted = pontoon.service.stats.ownErrors
    test.ok((counted.get('CLIENT_LIMIT') ?? 0) + (counted.get('POOL_QUEUE_FULL') ?? 0) > 0)
  })
})

await t.test('a queue of 500 over 2 servers moves on in order and empties', async (test) => {
  await leavesNothing(
    { pool: { size: 2, queueMax: 500, queueTimeoutMs: 30_000 } },
    async (pontoon) => {
      const clients = await Promise.all(Array.from({ length: 400 }, () => pontoon.client()))
      const answers = await Promise.all(clients.map((client) => ask(client, 'SELECT 1')))
      test.equal(answers.length, 400)
      for (const { wire } of clients) wire.destroy()
    },
  )
})

await t.test('clients that read nothing, and a server killed under a crowd', async (test) => {
  const limits = { slowReaderMs: 500 }
  await leavesNothing(
    { pool: { size: 4, holdMs: 60_000, queueTimeoutMs: 60_000 }, config: { limits } },
    async (pontoon) => {
      const deaf = await Promise.all(Array.from({ length: 4 }, () => pontoon.client()))
      for (const { wire } of deaf) {
        wire.socket.pause()
        await wire.send(query("SELECT repeat('x', 100000) FROM generate_series(1, 300)"))
      }
      const hearing = await pontoon.client()
      test.equal(await value(hearing, 'SELECT 1'), '1', 'the deaf are put out in time')
      for (const { wire } of deaf) wire.destroy()

      const crowd = await Promise.all(Array.from({ length: 20 }, () => pontoon.client()))
      const asked = crowd.map(async ({ wire }) => {
        await wire.send(query('SELECT pg_sleep(60)'))
        return errorFields(present((await wire.until('E', soonMs)).at(-1)))
      })
      await until(() => pontoon.service.snapshot().clients.waiting === 16, 'a queue', soonMs)
      await server.kill9()
      await until(
        () => pontoon.service.snapshot().clients.waiting === 16 && pontoon.busyServers() <= 4,
        'those who wait to be held',
        soonMs,
      )
      await server.restart()
      await until(
        () => pontoon.service.snapshot().clients.active === 4,
        'the next to be served',
        soonMs,
      )
      pontoon.service.endSessions({ database: 'postgres' })
      const codes = (await Promise.all(asked)).map(({ C: code }) => code)
      test.equal(codes.filter((code) => code === '08006').length, 4, 'whose query it was')
      test.equal(codes.filter((code) => code === '57P01').length, 16, 'the others lost nothing')
      for (const { wire } of [hearing, ...crowd]) wire.destroy()
    },
  )
})

/**
 * Backends and databases that die, and networks that are cut, amid a COPY or a pipeline: one error
 * and the end for the client, what it was told is true, and nothing is left of the rest.
 */
import t from 'tap'
import type { Test } from 'tap'
import { bind, copyData, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { sqlstate, startPontoon, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'
import { serverDeaths } from '../../support/server-deaths.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
const relay = await startRelay({ to: { host: server.host, port: server.port } })
t.teardown(async () => {
  await relay.close()
  await server.stop()
})
await server.query('CREATE TABLE taken (number int)')

const deaths = serverDeaths(server, relay)

/** What the client gets before its end; the last of it is the only error. */
async function lastWords({ wire }: RawClient): Promise<BackendMessage[]> {
  const messages = await wire.until('E')
  await wire.closed()
  if (wire.pending) {
    const end = Buffer.concat(wire.received).toString('latin1').slice(-600)
    throw new Error(`something came behind the fatal error: ${end}`)
  }
  return messages
}

async function backendOf(client: RawClient): Promise<number> {
  return Number(await value(client, 'SELECT pg_backend_pid()'))
}

async function goesOn(test: Test, pontoon: Pontoon): Promise<void> {
  const next = await pontoon.client()
  test.equal(await value(next, 'SELECT 1'), '1')
  next.wire.destroy()
  await pontoon.untilIdle()
}

const ofDeath = /^(08006|57P01|57P02)$/

for (const mode of ['session', 'transaction'] as const) {
  for (const { name, cause, heal } of deaths) {
    const title = `${mode} mode, ${name}`
    const start = async (test: Test): Promise<[Pontoon, RawClient, number]> => {
      await server.query('TRUNCATE taken')
      const pontoon = await startPontoon({ source: relay, mode, pool: { size: 1, holdMs: 5_000 } })
      test.teardown(() => pontoon.stop())
      const client = await pontoon.client()
      return [pontoon, client, await backendOf(client)]
    }

    void t.test(`${title} amid COPY FROM STDIN`, async (test) => {
      const [pontoon, client, pid] = await start(test)
      await client.wire.send(query('COPY taken FROM STDIN'))
      await client.wire.until('G')
      const rows = copyData('1\n'.repeat(10_000))
      await client.wire.send(...Array.from({ length: 50 }, () => rows))
      await cause(pid)
      test.match(sqlstate(await lastWords(client)), ofDeath)
      await heal?.()
      await goesOn(test, pontoon)
      test.strictSame(await server.query('SELECT FROM taken'), [], 'nothing of it is there')
    })

    void t.test(`${title} amid COPY TO STDOUT`, async (test) => {
      const [pontoon, client, pid] = await start(test)
      const endless = "SELECT repeat('x', 1000), generate_series(1, 100000000)"
      await client.wire.send(query(`COPY (${endless}) TO STDOUT`))
      await client.wire.until('d')
      await cause(pid)
      const types = new Set<string>()
      let errors = 0
      // Amid a row nothing can be said; whatever else comes are whole messages.
      for (;;) {
        const message = await client.wire.next().catch(() => null)
        if (message === null) break
        types.add(message.type)
        if (message.type === 'E') errors += 1
      }
      await client.wire.closed()
      test.ok(errors <= 1, 'no second error')
      types.delete('E')
      test.strictSame([...types], types.size === 0 ? [] : ['d'])
      await heal?.()
      await goesOn(test, pontoon)
    })

    void t.test(`${title} amid a pipeline`, async (test) => {
      const [pontoon, client, pid] = await start(test)
      const count = 300
      const insert = 'WITH slow AS (SELECT pg_sleep(0.01)) INSERT INTO taken SELECT $1 FROM slow'
      const batches = Array.from({ length: count }, (_, number) => {
        const statement = number % 2 === 0 ? '' : `s${number}`
        const values = [String(number)]
        return [parse(insert, statement), bind({ statement, values }), execute(), sync()]
      })
      await client.wire.send(...batches.flat())
      for (let done = 0; done < 30; done += 1) await client.wire.until('Z')
      await cause(pid)
      const words = await lastWords(client)
      test.match(sqlstate(words), ofDeath)
      const told = 30 + words.filter(({ type }) => type === 'Z').length
      await heal?.()
      await goesOn(test, pontoon)
      const there = (await server.query('SELECT number FROM taken ORDER BY number')).length
      // One more may have been committed, and its word lost on the way; over a cut, some more.
      test.ok(there >= told && there < count, `told ${told}, there ${there}`)
    })
  }
}

/**
 * Cancel requests that are still on their way when what they were for is over: they must hit
 * nothing of Pontoon's own, such as the question what the request has left behind on its server.
 */
import t from 'tap'
import type { Test } from 'tap'
import { holdCancels } from '../../support/held-cancels.ts'
import type { HeldCancels } from '../../support/held-cancels.ts'
import { cancelRequest, query } from '../../support/pg-frontend.ts'
import { connect } from '../../support/pg-wire.ts'
import {
  ask,
  rawClient,
  rows,
  sqlstate,
  startPontoon,
  until,
  value,
} from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE held AS SELECT 1 AS n')

/** How often it is looked for what a late cancel request must not hit. */
const looksMax = 50

interface Scene {
  readonly cancels: HeldCancels
  readonly pontoon: Pontoon
  readonly client: RawClient
  /** Holds what the question needs, so that it runs until it is cancelled. */
  readonly blocker: RawClient
}

/** A request has changed a setting and ended; two cancel requests for it are still on their way. */
async function twoCancelsOnTheirWay(
  test: Test,
  change: string,
  before: (pontoon: Pontoon) => Promise<void> = () => Promise.resolve(),
): Promise<Scene> {
  const cancels = await holdCancels(test, server)
  const pontoon = await startPontoon({ source: cancels, pool: { size: 2 } })
  test.teardown(() => pontoon.stop())
  await before(pontoon)
  const [client, holder, blocker, watcher] = [
    await pontoon.client(),
    await rawClient(server.port),
    await rawClient(server.port),
    await rawClient(server.port),
  ]
  test.teardown(() => [client, holder, blocker, watcher].forEach(({ wire }) => wire.destroy()))
  await rows(holder, 'BEGIN; SELECT FROM held FOR UPDATE')
  await client.wire.send(query(`${change}; SELECT FROM held FOR UPDATE`))
  const waiting = 'SELECT count(*) FROM pg_locks WHERE NOT granted'
  await until(async () => (await value(watcher, waiting)) === '1', 'the request to run')
  for (let count = 1; count <= 2; count += 1) {
    const wire = await connect(pontoon.host, pontoon.port)
    await wire.send(cancelRequest(client.pid, client.secret))
    await until(() => cancels.count === count, 'the cancel request to come')
  }
  await rows(blocker, 'BEGIN; LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE')
  await rows(holder, 'ROLLBACK')
  test.equal(sqlstate(await client.wire.until('Z')), '', 'the request has ended before')
  return { cancels, pontoon, client, blocker }
}

/** In vain where it waits until no cancel request can hit it. */
async function lookForQuestion({ blocker }: Scene): Promise<void> {
  const blocked = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'pg_class'::regclass"
  for (let look = 0; look < looksMax; look += 1)
    if ((await rows(blocker, blocked)).length > 0) return
}

void t.test('late cancel requests do not pin their client', async (test) => {
  const scene = await twoCancelsOnTheirWay(test, "SET work_mem = '5MB'")
  const { cancels, pontoon, client, blocker } = scene
  while (cancels.count > 0) {
    await lookForQuestion(scene)
    await cancels.letGo()
  }
  await rows(blocker, 'ROLLBACK')
  test.equal(await value(client, 'SHOW work_mem'), '5MB')
  await pontoon.untilIdle()
  test.strictSame(pontoon.service.snapshot().pinned, {})
})

void t.test('meanwhile the session is in no transaction, and waits for its turn', async (test) => {
  const others: RawClient[] = []
  const scene = await twoCancelsOnTheirWay(test, "SET work_mem = '6MB'", async (made) => {
    const other = await made.client()
    await ask(other, 'BEGIN')
    others.push(other)
  })
  const { cancels, pontoon, client, blocker } = scene
  await client.wire.send(query('SHOW work_mem'))
  pontoon.tighten({ limits: { idleInTransactionMs: 1 } })
  for (const { wire } of others) test.equal(sqlstate(await wire.until('E')), '25P03', 'one that is')
  test.notOk(client.wire.pending)
  while (cancels.count > 0) await cancels.letGo()
  await rows(blocker, 'ROLLBACK')
  test.equal(sqlstate(await client.wire.until('Z')), '')
  test.equal(await value(client, 'SHOW work_mem'), '6MB')
})

void t.test('a client that leaves meanwhile leaves nothing behind', async (test) => {
  const { cancels, pontoon, client, blocker } = await twoCancelsOnTheirWay(
    test,
    "SET work_mem = '7MB'",
  )
  client.wire.destroy()
  while (cancels.count > 0) await cancels.letGo()
  await rows(blocker, 'ROLLBACK')
  await pontoon.untilIdle()
  const next = await pontoon.client()
  test.equal(await value(next, 'SHOW work_mem'), '4MB')
  next.wire.destroy()
})

/** Clients that close their half, or vanish, at whatever moment. */
import t from 'tap'
import type { Test } from 'tap'
import { bind, copyData, execute, parse, query, sync } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE kept (n int)')

type Mode = 'session' | 'transaction'

async function pontoonOf(test: Test, mode: Mode, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, mode, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

for (const mode of ['session', 'transaction'] as const) {
  void t.test(
    `${mode} mode: a client that half-closes after its query gets the answer`,
    async (test) => {
      const pontoon = await pontoonOf(test, mode, 2)
      const client = await pontoon.client()
      await client.wire.send(query('SELECT pg_sleep(0.2)'), query("SELECT repeat('x', 3000000)"))
      client.wire.end()
      test.equal(summary(await client.wire.until('Z')), 'TDCZ')
      test.equal(summary(await client.wire.until('Z')), 'TDCZ', 'of all that it had asked')
      await client.wire.closed()
      const other = await pontoon.client()
      await other.wire.send(parse('SELECT 1'), bind(), execute(), sync())
      other.wire.end()
      test.equal(summary(await other.wire.until('Z')), '12DCZ')
      await other.wire.closed()
      await pontoon.untilIdle()
      test.equal(pontoon.service.clients(10).length, 0)
    },
  )

  void t.test(`${mode} mode: a client that half-closes amid a request is gone`, async (test) => {
    const pontoon = await pontoonOf(test, mode, 5)
    const insert = 'INSERT INTO kept VALUES (1)'
    const amid: Readonly<
      Record<string, (send: (bytes: Buffer) => Promise<void>) => Promise<void>>
    > = {
      'a message': (send) => send(query(insert).subarray(0, -3)),
      'a batch': (send) => send(Buffer.concat([parse(insert), bind(), execute()])),
      'a transaction': (send) => send(query(`BEGIN; ${insert}`)),
      'COPY data': (send) => send(Buffer.concat([query('COPY kept FROM STDIN'), copyData('1\n')])),
    }
    for (const [name, send] of Object.entries(amid)) {
      const client = await pontoon.client()
      await send((bytes) => client.wire.send(bytes))
      client.wire.end()
      await client.wire.closed()
      test.pass(name)
    }
    await until(() => pontoon.service.clients(10).length === 0, 'no client left')
    const open = "SELECT FROM pg_stat_activity WHERE state LIKE 'idle in%' OR query ~ '^COPY'"
    await until(async () => (await server.query(open)).length === 0, 'no transaction left')
    test.equal((await server.query('SELECT FROM kept')).length, 0)
  })
}

void t.test('a client that vanishes while waiting or parked is noticed', async (test) => {
  const pontoon = await pontoonOf(test, 'transaction', 1)
  const holder = await pontoon.client()
  await ask(holder, 'BEGIN')
  const go = async (more: Buffer, reset: boolean): Promise<void> => {
    const client = await pontoon.client()
    await client.wire.send(query('INSERT INTO kept VALUES (2)'), more)
    const { clients } = pontoon.service.snapshot()
    await until(() => {
      const now = pontoon.service.snapshot().clients
      return (
        now.waiting + now.parked > clients.waiting + clients.parked || now.waiting + now.parked > 0
      )
    }, 'it to wait')
    client.wire.destroy(reset)
    await until(() => pontoon.service.clients(10).length === 1, 'it to be gone')
  }
  for (const reset of [false, true]) {
    await go(Buffer.alloc(0), reset)
    await go(query('SELECT 1'), reset)
  }
  await ask(holder, 'COMMIT')
  await pontoon.service.pause(20_000, 1_000, 'test')
  for (const reset of [false, true]) {
    await go(Buffer.alloc(0), reset)
    await go(query('SELECT 1'), reset)
  }
  pontoon.service.resume()
  test.equal(await value(holder, 'SELECT count(*) FROM kept'), '0', 'and nothing of it was done')
  test.ok((pontoon.service.stats.ownErrors.get('CLIENT_LEFT') ?? 0) >= 4)
  await pontoon.untilIdle()
})

void t.test('a client that only waits and half-closes is told', async (test) => {
  const pontoon = await pontoonOf(test, 'transaction', 1)
  const [holder, client] = [await pontoon.client(), await pontoon.client()]
  await rows(holder, 'BEGIN')
  await client.wire.send(query('SELECT 1'))
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'it to wait')
  client.wire.end()
  test.equal(sqlstate(await client.wire.until('E')), '08006')
  await client.wire.closed()
})

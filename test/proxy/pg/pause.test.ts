/** The gate in use: pauses drain at transaction boundaries and lose nobody. */
import { Pool } from 'pg'
import t from 'tap'
import type { Test } from 'tap'
import {
  bind,
  copyData,
  copyDone,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { ask, rows, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE TABLE ordered (id serial, who text); CREATE TABLE copied (n int)')

const longMs = 60_000

async function pontoonOf(
  test: Test,
  size: number,
  mode: PontoonOptions['mode'] = 'transaction',
): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, mode, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

const parked = (pontoon: Pontoon): number => pontoon.service.gate.snapshot().parked

for (const mode of ['session', 'transaction'] as const) {
  void t.test(
    `${mode} mode: a pause lets a transaction end and parks what follows`,
    async (test) => {
      const pontoon = await pontoonOf(test, 5, mode)
      const [busy, idle] = [await pontoon.client(), await pontoon.client()]
      await ask(busy, 'BEGIN')
      await ask(idle, 'SELECT 1')
      const report = await pontoon.service.pause(longMs, 50, 'test')
      test.notOk(report.drained)
      test.match(report.waitingFor, [{ state: 'active', serverPid: Number }])
      test.equal(report.waitingFor.length, 1, 'the one in a transaction')

      await idle.wire.send(query('SELECT 2'))
      await until(() => parked(pontoon) === 1, 'parked')
      test.equal(await value(busy, 'SELECT 3'), '3', 'the transaction goes on')
      const drain = pontoon.service.pause(longMs, 5_000, 'test')
      await ask(busy, 'COMMIT')
      test.match(await drain, { drained: true, waitingFor: [] })
      test.notOk(idle.wire.pending, 'nothing was let through')
      pontoon.service.resume()
      test.equal(summary(await idle.wire.until('Z')), 'TDCZ')
      pontoon.service.resume()
      test.equal(await value(busy, 'SELECT 4'), '4', 'resume twice is resume once')
    },
  )

  void t.test(`${mode} mode: parked requests go on in their order`, async (test) => {
    const pontoon = await pontoonOf(test, mode === 'session' ? 20 : 1, mode)
    const clients = await Promise.all(Array.from({ length: 10 }, () => pontoon.client()))
    await server.query('TRUNCATE ordered RESTART IDENTITY')
    test.match(await pontoon.service.pause(longMs, 1_000, 'test'), { drained: true })
    for (const [index, client] of clients.entries()) {
      await client.wire.send(query(`INSERT INTO ordered (who) VALUES ('${index}')`))
      await until(() => parked(pontoon) === index + 1, `${index} parked`)
    }
    pontoon.service.resume()
    await Promise.all(clients.map(({ wire }) => wire.until('Z')))
    const order = await server.query<{ who: string }>('SELECT who FROM ordered ORDER BY id')
    const found = order.map(({ who }) => Number(who))
    test.equal(found.length, 10)
    // Servers of their own may overtake each other; one server cannot.
    if (mode === 'transaction')
      test.strictSame(
        found,
        clients.map((_, index) => index),
      )
  })

  void t.test(`${mode} mode: a pause while a client pipelines drains`, async (test) => {
    const pontoon = await pontoonOf(test, 2, mode)
    const { wire } = await pontoon.client()
    const batch = [parse('SELECT pg_sleep(0.001)'), bind(), execute(), sync(), query('SELECT 1')]
    const load = { isOn: true }
    let [sent, answered] = [0, 0]
    const sending = (async () => {
      while (load.isOn) {
        // Never out of requests, never too far ahead.
        while (sent - answered < 40) {
          await wire.send(...batch)
          sent += 2
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    })()
    const receiving = (async () => {
      while (load.isOn || answered < sent) {
        await wire.until('Z')
        answered += 1
      }
    })()
    for (let round = 0; round < 5; round += 1) {
      const before = answered
      await until(() => answered > before + 20, 'answers')
      test.match(await pontoon.service.pause(longMs, 5_000, 'test'), { drained: true })
      pontoon.service.resume()
    }
    load.isOn = false
    await Promise.all([sending, receiving])
    test.notOk(wire.pending, `${sent} answers, each once`)
  })
}

void t.test('a pause waits for a COPY and for a batch without Sync', async (test) => {
  const pontoon = await pontoonOf(test, 5)
  const [copying, batching] = [await pontoon.client(), await pontoon.client()]
  await copying.wire.send(query('COPY copied FROM STDIN'))
  await copying.wire.until('G')
  await batching.wire.send(parse('SELECT 1'), bind(), execute(), flush())
  await batching.wire.until('C')
  const report = await pontoon.service.pause(longMs, 30, 'test')
  test.equal(report.waitingFor.length, 2)
  const drain = pontoon.service.pause(longMs, 5_000, 'test')
  await copying.wire.send(copyData('1\n'), copyDone())
  await copying.wire.until('Z')
  await batching.wire.send(sync())
  await batching.wire.until('Z')
  test.match(await drain, { drained: true })
})

void t.test('what is left of a failed COPY does not keep a pause waiting', async (test) => {
  for (const mode of ['session', 'transaction'] as const) {
    const pontoon = await pontoonOf(test, 2, mode)
    const { wire } = await pontoon.client()
    await wire.send(query('COPY copied FROM STDIN'))
    await wire.until('G')
    await wire.send(copyData('no number\n'))
    await wire.send(copyData('more\n'), copyData('more\n'), copyDone())
    await wire.until('Z')
    await wire.send(copyDone(), flush())
    test.match(await pontoon.service.pause(longMs, 1_000, 'test'), { drained: true }, mode)
  }
})

void t.test('a batch ended by a simple query is over', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await client.wire.send(parse('SELECT 1'), bind(), execute(), query('SELECT 2'))
  await client.wire.until('Z')
  test.equal(await value(other, 'SELECT 3'), '3', 'its server is free')
  test.match(await pontoon.service.pause(longMs, 1_000, 'test'), { drained: true })
})

void t.test('who waits for a server when a pause begins does not run in it', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [holder, waiting, later] = [
    await pontoon.client(),
    await pontoon.client(),
    await pontoon.client(),
  ]
  await server.query('TRUNCATE ordered RESTART IDENTITY')
  await ask(holder, 'BEGIN')
  await waiting.wire.send(query("INSERT INTO ordered (who) VALUES ('waiting')"))
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'waiting')
  const drain = pontoon.service.pause(longMs, 5_000, 'test')
  await later.wire.send(query("INSERT INTO ordered (who) VALUES ('later')"))
  await until(() => parked(pontoon) > 0, 'parked')
  await ask(holder, 'COMMIT')
  test.match(await drain, { drained: true })
  test.strictSame(await server.query('SELECT who FROM ordered'), [], 'drained means drained')
  pontoon.service.resume()
  await Promise.all([waiting.wire.until('Z'), later.wire.until('Z')])
  test.equal((await server.query('SELECT who FROM ordered')).length, 2)
})

void t.test('a pause opens by itself at its deadline', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const client = await pontoon.client()
  const begun = performance.now()
  await pontoon.service.pause(150, 1_000, 'short')
  test.equal(await value(client, 'SELECT 1'), '1')
  test.ok(performance.now() - begun >= 149, 'it waited')
  test.equal(pontoon.service.gate.snapshot().state, 'open')
})

void t.test('new logins during a pause wait and then work', async (test) => {
  for (const mode of ['session', 'transaction'] as const) {
    const pontoon = await pontoonOf(test, 5, mode)
    await pontoon.service.pause(longMs, 1_000, 'test')
    const logins = Promise.all([
      pontoon.client(),
      pontoon.client({ parameters: { application_name: 'other' } }),
    ])
    await until(() => pontoon.service.snapshot().clients.startup === 2, 'two waiting logins')
    pontoon.service.resume()
    for (const client of await logins) test.equal(await value(client, 'SELECT 1'), '1', mode)
  }
})

void t.test('a parked client may leave', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [leaving, staying] = [await pontoon.client(), await pontoon.client()]
  await pontoon.service.pause(longMs, 1_000, 'test')
  for (const { wire } of [leaving, staying]) await wire.send(query('SELECT 1'))
  await until(() => parked(pontoon) === 2, 'parked')
  leaving.wire.destroy()
  await until(() => parked(pontoon) === 1, 'one to have left')
  pontoon.service.resume()
  test.equal(summary(await staying.wire.until('Z')), 'TDCZ')
  await pontoon.untilIdle()
})

void t.test('a pinned session is parked where it is', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const client = await pontoon.client()
  await rows(client, 'CREATE TEMP TABLE mine AS SELECT 5 AS five')
  await until(() => pontoon.service.snapshot().clients.pinned === 1, 'pinned')
  test.match(await pontoon.service.pause(longMs, 1_000, 'test'), { drained: true })
  await client.wire.send(query('SELECT five FROM mine'))
  await until(() => parked(pontoon) === 1, 'parked')
  pontoon.service.resume()
  test.equal(summary(await client.wire.until('Z')), 'TDCZ')
})

void t.test('pauses under load lose nothing', async (test) => {
  const pontoon = await pontoonOf(test, 4)
  await server.query('TRUNCATE ordered RESTART IDENTITY')
  const drivers = new Pool({ connectionString: pontoon.url(), max: 20 })
  const load = { isOn: true }
  let done = 0
  const working = Array.from({ length: 20 }, async (_, who) => {
    while (load.isOn) {
      const client = await drivers.connect()
      await client.query('BEGIN')
      await client.query('INSERT INTO ordered (who) VALUES ($1)', [String(who)])
      await client.query('COMMIT')
      client.release()
      done += 1
    }
  })
  for (let round = 0; round < 10; round += 1) {
    const report = await pontoon.service.pause(longMs, 20_000, 'round')
    test.ok(report.drained)
    const active = "SELECT FROM pg_stat_activity WHERE state LIKE '%transaction%'"
    test.equal((await server.query(active)).length, 0, 'no transaction is open')
    pontoon.service.resume()
    const before = done
    await until(() => done > before + 20, 'the load to go on')
  }
  load.isOn = false
  await Promise.all(working)
  await drivers.end()
  const [stored] = await server.query<{ count: number }>('SELECT count(*)::int FROM ordered')
  test.equal(stored?.count, done)
  await pontoon.untilIdle()
})

/**
 * What one client leaves on a server must not end another one, and what a client has set must find
 * its way to every server: settings that a server refuses for what happened on it before.
 */
import t from 'tap'
import type { Test } from 'tap'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query(`CREATE ROLE dba SUPERUSER; CREATE ROLE app LOGIN IN ROLE dba; CREATE ROLE low`)

async function pontoonOf(test: Test, size: number): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, pool: { size } })
  test.teardown(() => pontoon.stop())
  return pontoon
}

void t.test('what SET TRANSACTION said ends with the transaction', async (test) => {
  const pontoon = await pontoonOf(test, 2)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, 'BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT')
  await rows(a, 'BEGIN; SET TRANSACTION READ ONLY; SET TRANSACTION DEFERRABLE; COMMIT')
  await rows(a, "SET transaction_isolation = 'serializable'; SET work_mem = '5MB'")
  await rows(a, 'SET default_transaction_isolation = "repeatable read"')
  for (const client of [b, a, b, a]) {
    await rows(client, 'BEGIN')
    const [isolation, readOnly, memory] =
      client === a ? ['repeatable read', 'off', '5MB'] : ['read committed', 'off', '4MB']
    test.equal(await value(client, 'SHOW transaction_isolation'), isolation)
    test.equal(await value(client, 'SHOW transaction_read_only'), readOnly)
    test.equal(await value(client, 'SHOW work_mem'), memory)
    await rows(client, 'COMMIT')
  }
})

void t.test('a server that does not take a setting any more is replaced', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, "SET temp_buffers = '2MB'")
  await rows(b, 'CREATE TEMP TABLE used AS SELECT 1; DROP TABLE used')
  test.equal(await value(a, 'SHOW temp_buffers'), '2MB')
  test.equal(await value(b, 'SHOW temp_buffers'), '8MB')
})

/** Temporary tables have been used on as many servers at once: they keep their temp_buffers. */
async function useTempTables(pontoon: Pontoon, count: number): Promise<void> {
  const clients = await Promise.all(Array.from({ length: count }, () => pontoon.client()))
  for (const client of clients)
    await rows(client, 'BEGIN; CREATE TEMP TABLE used ON COMMIT DROP AS SELECT 1')
  for (const client of clients) await rows(client, 'COMMIT')
  for (const { wire } of clients) wire.destroy()
}

void t.test('however many servers do not take it, the session goes on', async (test) => {
  const size = 6
  const pontoon = await pontoonOf(test, size)
  const a = await pontoon.client()
  await rows(a, "SET temp_buffers = '2MB'")
  for (let round = 0; round < 2; round += 1) {
    await useTempTables(pontoon, size)
    test.equal(await value(a, 'SHOW temp_buffers'), '2MB')
  }
})

void t.test('a pinned session keeps what its own server does not change', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const options = '-c temp_buffers=16MB -c work_mem=5MB'
  const a = await pontoon.client({ parameters: { options } })
  await rows(a, "SET temp_buffers = '2MB'")
  await rows(a, 'CREATE TEMP TABLE kept AS SELECT 1')
  await rows(a, 'RESET ALL')
  for (let round = 0; round < 3; round += 1) {
    test.equal(await value(a, 'SELECT count(*) FROM kept'), '1')
    test.equal(await value(a, 'SHOW work_mem'), '5MB')
    await rows(a, 'RESET ALL')
  }
  await rows(a, 'DROP TABLE kept')
  test.equal(await value(a, 'SHOW temp_buffers'), '16MB')
})

void t.test('nor do they turn away who asks for it at login', async (test) => {
  const size = 4
  const pontoon = await pontoonOf(test, size)
  await useTempTables(pontoon, size)
  const asking = (wanted: string): Promise<RawClient> =>
    pontoon.client({ parameters: { options: `-c temp_buffers=${wanted}` } })
  test.equal(await value(await asking('2MB'), 'SHOW temp_buffers'), '2MB')
  // That nobody takes it is for a new server to say.
  await useTempTables(pontoon, size)
  await test.rejects(asking('few'), /invalid value for parameter "temp_buffers": "few"/)
})

/** Leaves the only server with a setting that the role `app` may not take back. */
async function leaveUndue(pontoon: Pontoon): Promise<RawClient> {
  const client = await pontoon.client({ user: 'app' })
  await rows(client, "SET ROLE dba; SET session_replication_role = 'replica'")
  return client
}

const withOptions = (options: string): object => ({ user: 'app', parameters: { options } })

const asked = "SELECT current_user || ' ' || current_setting('session_replication_role')"

void t.test('what a client has set as another role, no client must pay for', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const b = await pontoon.client({ user: 'app' })
  const a = await leaveUndue(pontoon)
  for (let round = 0; round < 2; round += 1) {
    test.equal(await value(b, asked), 'app origin')
    test.equal(await value(a, asked), 'dba replica')
  }
})

void t.test('what a client has set before it took another role', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  const [a, b] = [await pontoon.client(), await pontoon.client()]
  await rows(a, "SET session_replication_role = 'local'; SET ROLE low")
  for (let round = 0; round < 2; round += 1) {
    test.equal(await value(b, asked), 'postgres origin')
    test.equal(await value(a, asked), 'low local')
  }
  test.equal(sqlstate(await ask(a, "SET session_replication_role = 'replica'")), '42501')
})

void t.test('such a server keeps nobody from logging in', async (test) => {
  const pontoon = await pontoonOf(test, 1)
  await leaveUndue(pontoon)
  const next = await pontoon.client(withOptions('-c work_mem=5MB'))
  test.equal(await value(next, 'SHOW work_mem'), '5MB')
  await leaveUndue(pontoon)
  const wrong = pontoon.client(withOptions('-c work_mem=much'))
  await test.rejects(wrong, /invalid value for parameter/)
})

void t.test('a BEGIN that was answered here goes to the next server too', async (test) => {
  const route = { reads: 100 }
  const pontoon = await startPontoon({ source: server, pool: { size: 1 }, route })
  test.teardown(() => pontoon.stop())
  const b = await pontoon.client({ user: 'app' })
  const isHeld = async (): Promise<boolean> => {
    await rows(b, 'BEGIN READ ONLY')
    const holdsNone = pontoon.busyServers() === 0
    await rows(b, 'COMMIT')
    return holdsNone
  }
  await until(isHeld, 'BEGIN is answered here')
  await leaveUndue(pontoon)
  await rows(b, 'BEGIN READ ONLY')
  test.equal(await value(b, asked), 'app origin')
  test.equal(await value(b, 'SHOW transaction_read_only'), 'on')
  await rows(b, 'COMMIT')
})

/**
 * Drivers clean a session at every release to their pool: that pins nobody, takes back what the
 * session had set, and costs the server no question of ours.
 */
import t from 'tap'
import { systemClock } from '../../../src/shared/clock.ts'
import { asyncpgReset, npgsqlReset } from '../../support/driver-resets.ts'
import { query } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { ask, rows, sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.query('CREATE ROLE clerk; CREATE TABLE kept (n int)')
await server.query(`CREATE FUNCTION moves() RETURNS text LANGUAGE sql AS
  $$ SELECT set_config('TimeZone', 'Asia/Tokyo', false) $$`)

const resets: Readonly<Record<string, string>> = {
  asyncpg: asyncpgReset,
  Npgsql: npgsqlReset,
  'DISCARD ALL': 'DISCARD ALL',
  'RESET ALL': 'RESET ALL',
}

const parameters = { client_encoding: 'LATIN1', work_mem: '5MB', 'app.tenant': 'mine' }

const settings = async (client: RawClient): Promise<unknown> => [
  await value(client, 'SHOW client_encoding'),
  await value(client, 'SHOW work_mem'),
  await value(client, "SELECT current_setting('app.tenant', true)"),
  await value(client, 'SELECT current_user'),
]

for (const [name, reset] of Object.entries(resets)) {
  void t.test(
    `${name}: settings are as at the startup, and the server is anybody's`,
    async (test) => {
      const pontoon = await startPontoon({ source: server, pool: { size: 1 } })
      test.teardown(() => pontoon.stop())
      const [client, other] = [await pontoon.client({ parameters }), await pontoon.client()]
      const [first, others] = [await settings(client), await settings(other)]
      test.strictSame(first, ['LATIN1', '5MB', 'mine', 'postgres'])
      const pid = await value(other, 'SELECT pg_backend_pid()')
      const lastText = async (): Promise<unknown> => {
        const sql = 'SELECT query FROM pg_stat_activity WHERE pid = $1'
        return (await server.query(sql, 'postgres', [pid]))[0]?.['query']
      }
      for (const set of [
        '',
        'SET work_mem = $$7MB$$; SET app.tenant = $$x$$; SET app.more = $$y$$',
      ]) {
        if (set !== '') await rows(client, set)
        test.equal(sqlstate(await ask(client, reset)), '')
        test.equal(await lastText(), reset, 'nothing is asked behind it')
        test.strictSame(pontoon.service.snapshot().pinned, {})
        test.strictSame(await settings(other), others, 'those of another client')
        test.equal(await value(other, "SELECT coalesce(current_setting('app.more', true), '')"), '')
        test.strictSame(await settings(client), first)
      }
      await rows(client, 'SET ROLE clerk')
      await rows(client, reset)
      test.equal(await value(other, 'SELECT current_user'), 'postgres')
      const role = reset.includes('AUTHORIZATION') || reset === 'DISCARD ALL' ? 'postgres' : 'clerk'
      test.equal(await value(client, 'SELECT current_user'), role, 'RESET ALL leaves the role')
    },
  )

  void t.test(`${name}: what pins the session is gone behind it`, async (test) => {
    // No second passes after which the server would be asked anyway what is left there.
    const clock = { ...systemClock, nowMs: () => 1_000 }
    const pontoon = await startPontoon({ source: server, pool: { size: 1 }, clock })
    test.teardown(() => pontoon.stop())
    const [client, other] = [await pontoon.client(), await pontoon.client()]
    await rows(client, 'SELECT pg_advisory_lock(7)')
    await until(() => pontoon.service.snapshot().pinned['advisory-lock'] === 1, 'pinned')
    await rows(client, reset)
    const isHeld = reset === 'RESET ALL'
    if (isHeld) await rows(client, 'SELECT pg_advisory_unlock(7)')
    test.equal(await value(other, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), '0')
    await pontoon.untilIdle()
    test.strictSame(pontoon.service.snapshot().pinned, {})
  })
}

void t.test('a reset in a transaction that is rolled back takes nothing back', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 } })
  test.teardown(() => pontoon.stop())
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await rows(client, 'SET work_mem = $$7MB$$')
  for (const texts of [['BEGIN', 'RESET ALL', 'ROLLBACK'], ['BEGIN; RESET ALL; ROLLBACK']]) {
    // One by one, and all in one write.
    for (const text of texts) await ask(client, text)
    test.equal(await value(other, 'SHOW work_mem'), '4MB')
    await client.wire.send(...texts.map(query))
    for (const _ of texts) await client.wire.until('Z')
    test.equal(await value(other, 'SHOW work_mem'), '4MB')
    test.equal(await value(client, 'SHOW work_mem'), '7MB')
  }
})

void t.test('what is sent right behind a reset counts', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 } })
  test.teardown(() => pontoon.stop())
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  const zone = await value(other, 'SHOW TimeZone')
  await client.wire.send(
    query('RESET ALL'),
    query('SELECT moves()'),
    query('RESET ALL; SET work_mem = 123'),
  )
  test.match(summary(await client.wire.until('Z')), /^S*CZ$/)
  await client.wire.until('Z')
  await client.wire.until('Z')
  test.strictSame(
    [await value(other, 'SHOW TimeZone'), await value(other, 'SHOW work_mem')],
    [zone, '4MB'],
  )
  test.strictSame(
    [await value(client, 'SHOW TimeZone'), await value(client, 'SHOW work_mem')],
    [zone, '123kB'],
  )
})

void t.test('a reset that is refused', async (test) => {
  const pontoon = await startPontoon({ source: server, pool: { size: 1 } })
  test.teardown(() => pontoon.stop())
  const [client, other] = [await pontoon.client(), await pontoon.client()]
  await rows(client, 'SET work_mem = $$7MB$$')
  // Runs in one transaction, which DISCARD ALL may not.
  test.equal(sqlstate(await ask(client, 'RESET ALL; DISCARD ALL')), '25001')
  test.equal(await value(other, 'SHOW work_mem'), '4MB')
  test.equal(await value(client, 'SHOW work_mem'), '7MB')
})

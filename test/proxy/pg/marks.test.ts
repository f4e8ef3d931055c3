/** Pontoon's mark in a database: a route that contradicts it leads nobody there. */
import t from 'tap'
import type { Test } from 'tap'
import { primaryDoubts } from '../../../src/control/doubts.ts'
import type { Log } from '../../../src/shared/log.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { query } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { ask, rawClient, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
const markTableSql = `CREATE SCHEMA pontoon; GRANT USAGE ON SCHEMA pontoon TO PUBLIC;
  CREATE TABLE pontoon.mark (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton), epoch bigint NOT NULL,
    primary_side text NOT NULL CHECK (primary_side IN ('source', 'target')),
    changed_at timestamptz NOT NULL DEFAULT now());
  GRANT SELECT ON pontoon.mark TO PUBLIC`
await server.query(`${markTableSql}; CREATE ROLE app LOGIN;
  CREATE ROLE hasty LOGIN; ALTER ROLE hasty SET statement_timeout = '50ms'`)

async function markSays(primary: 'source' | 'target'): Promise<void> {
  await server.query(`INSERT INTO pontoon.mark (epoch, primary_side) VALUES (7, '${primary}')
    ON CONFLICT (singleton) DO UPDATE SET primary_side = excluded.primary_side`)
}

async function pontoonOf(test: Test, options: Partial<PontoonOptions> = {}): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, ...options })
  test.teardown(() => pontoon.stop())
  return pontoon
}

void t.test('a mark that names the same side hinders nobody', async (test) => {
  await markSays('source')
  const pontoon = await pontoonOf(test)
  const client = await pontoon.client({ user: 'app', database: 'postgres' })
  test.equal(await value(client, 'SELECT 1'), '1')
})

void t.test('no timeout of a role keeps its mark from being read', async (test) => {
  await markSays('target')
  const pontoon = await pontoonOf(test)
  const holder = await rawClient(server.port)
  test.teardown(() => holder.wire.destroy())
  await ask(holder, 'BEGIN; LOCK TABLE pontoon.mark IN ACCESS EXCLUSIVE MODE')
  const login = pontoon.client({ user: 'hasty', database: 'postgres' }).catch(() => null)
  const waiting = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'
    AND usename = 'hasty' AND clock_timestamp() - query_start > '200ms'`
  await until(async () => (await server.query(waiting)).length === 1, 'its mark is waited for')
  await ask(holder, 'ROLLBACK')
  await until(() => pontoon.service.gate.snapshot().keptBy === 'doubt', 'in doubt')
  pontoon.service.resume()
  const client = await login
  test.equal(client === null ? '' : await value(client, 'SHOW statement_timeout'), '50ms')
  await markSays('source')
})

void t.test('one that names the other shuts the gate until an operator decides', async (test) => {
  await markSays('source')
  const errors: string[] = []
  const log: Log = { ...silentLog, error: (_, text) => errors.push(text) }
  const pontoon = await pontoonOf(test, { log, pool: { size: 1 } })
  const { service } = pontoon
  const client = await pontoon.client()
  await markSays('target')
  service.reconnect()
  await client.wire.send(query('SELECT 1'))
  await until(() => service.gate.snapshot().keptBy === 'doubt', 'in doubt')
  await until(() => service.gate.snapshot().parked === 1, 'its client waits, and gets no error')
  test.match(errors, [/the source of orders says that the target is primary since epoch 7/])
  test.match(primaryDoubts([service]), [/pontoon resume/])
  test.match(pontoon.pools(), [{ failure: 'MARK_MISMATCH' }])
  await service.pause(20, 0, 'a pause on top')
  await until(() => service.gate.snapshot().parked === 1, 'still parked')
  test.equal(service.gate.keptBy, 'doubt', 'no clock opens it')
  service.resume()
  test.equal(summary(await client.wire.until('Z')), 'TDCZ', 'an operator has decided')
  test.strictSame(primaryDoubts([service]), [])
})

void t.test('during a switch it only keeps its server away', async (test) => {
  await markSays('source')
  const pontoon = await pontoonOf(test)
  const { service } = pontoon
  const client = await pontoon.client()
  const hold = service.beginSwitch('cutover of orders')
  await markSays('target')
  service.reconnect()
  test.equal(await service.warm?.('source', 300), 0)
  const failure = (): string | undefined => pontoon.pools()[0]?.failure
  await until(() => failure() !== '', 'the one under way is refused')
  test.equal(failure(), 'MARK_MISMATCH')
  service.applyRoute({ ...service.route, epoch: 2, primary: 'target' })
  test.ok(((await service.warm?.('target', 20_000)) ?? 0) > 0)
  hold.release()
  test.equal(await value(client, 'SELECT 1'), '1')
  test.equal(service.gate.keptBy, '')
})

void t.test('what can be slipped in by a search_path changes nothing', async (test) => {
  await markSays('source')
  await server.query(`CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO PUBLIC;
    CREATE FUNCTION evil.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
    CREATE FUNCTION evil.eq(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT false';
    CREATE OPERATOR evil.= (FUNCTION = evil.eq, LEFTARG = name, RIGHTARG = name);
    CREATE TYPE evil.text AS (a int); CREATE TABLE evil.mark (epoch int, primary_side int);
    ALTER ROLE app SET search_path = evil, pg_catalog, pontoon`)
  test.teardown(() => server.query('ALTER ROLE app RESET search_path'))
  const pontoon = await pontoonOf(test)
  const client = await pontoon.client({ user: 'app', database: 'postgres' })
  test.equal(await value(client, 'SELECT 1'), '1')
  await markSays('target')
  pontoon.service.reconnect()
  await client.wire.send(query('SELECT 1'))
  await until(() => pontoon.service.gate.keptBy === 'doubt', 'the mark was read all the same')
})

void t.test('a mark that may not be read says nothing', async (test) => {
  await markSays('target')
  await server.query('REVOKE USAGE ON SCHEMA pontoon FROM PUBLIC')
  test.teardown(() => server.query('GRANT USAGE ON SCHEMA pontoon TO PUBLIC'))
  const pontoon = await pontoonOf(test)
  const client = await pontoon.client({ user: 'app', database: 'postgres' })
  test.equal(summary(await ask(client, 'SELECT 1')), 'TDCZ')
})

void t.test(
  'a mark that is there no more is missed by nobody, and is seen when it is back',
  async (test) => {
    await markSays('source')
    const pontoon = await pontoonOf(test)
    const client = await pontoon.client({ user: 'app', database: 'postgres' })
    test.equal(await value(client, 'SELECT 1'), '1')
    for (const [away, back] of [
      ['ALTER TABLE pontoon.mark RENAME TO no_mark', 'ALTER TABLE pontoon.no_mark RENAME TO mark'],
      ['REVOKE USAGE ON SCHEMA pontoon FROM PUBLIC', 'GRANT USAGE ON SCHEMA pontoon TO PUBLIC'],
      [
        'DELETE FROM pontoon.mark',
        "INSERT INTO pontoon.mark (epoch, primary_side) VALUES (7, 'source')",
      ],
    ] as const) {
      await server.query(away)
      pontoon.service.reconnect()
      test.equal(await value(client, 'SELECT 1'), '1', away)
      await server.query(back)
      pontoon.service.reconnect()
      test.equal(await value(client, 'SELECT 1'), '1', back)
    }
    await markSays('target')
    pontoon.service.reconnect()
    await client.wire.send(query('SELECT 1'))
    await until(() => pontoon.service.gate.keptBy === 'doubt', 'in doubt')
  },
)

void t.test('a side that was left serves nobody, and puts nothing in doubt', async (test) => {
  await markSays('source')
  const other = await startPostgres({ major: 15, auth: 'trust' })
  test.teardown(() => other.stop())
  await other.query(`${markTableSql}; ALTER TABLE pontoon.mark ADD COLUMN parted text;
    INSERT INTO pontoon.mark (epoch, primary_side) VALUES (7, 'source')`)
  const failureOf = async (epoch: number): Promise<string> => {
    // Servers for a switch to come are kept warm on the target.
    const pontoon = await pontoonOf(test, { target: other, pool: { minSize: 1 }, route: { epoch } })
    const client = await pontoon.client()
    let failure: string | undefined
    await until(async () => {
      test.equal(await value(client, 'SELECT 1'), '1')
      const target = pontoon.pools().find(({ side }) => side === 'target')
      if (target !== undefined && target.idle + Number(target.failure !== '') > 0)
        failure = target.failure
      return failure !== undefined
    }, 'a server was opened there')
    test.equal(pontoon.service.gate.keptBy, '')
    return failure ?? ''
  }
  test.equal(await failureOf(8), '')
  await other.query("UPDATE pontoon.mark SET parted = 'target'")
  test.equal(await failureOf(8), 'MARK_MISMATCH', 'left behind by a forced switch')
  await other.query("UPDATE pontoon.mark SET parted = NULL, primary_side = 'target'")
  test.equal(await failureOf(8), 'MARK_MISMATCH', 'left, and not told yet')
})

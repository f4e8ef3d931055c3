/** pontoon schema from PostgreSQL 15 to 15, with everything that a database may hold. */
import { spawn } from 'node:child_process'
import { Client } from 'pg'
import tap from 'tap'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { startPostgres } from '../../../support/postgres.ts'
import { programArgs } from '../../../support/program.ts'
import { until } from '../../../support/until.ts'
import { richRoles, richSchema } from './rich-schema.ts'
import { definitionsOf, differences, ServiceFiles } from './sides.ts'

tap.setTimeout(280_000)

await tap.test('definitions go to the target', async (whole) => {
  const [source, target] = await Promise.all([
    startPostgres({ major: 15 }),
    startPostgres({ major: 15 }),
  ])
  whole.teardown(() => Promise.all([source.stop(), target.stop()]))
  await Promise.all([source.createDatabase('shop'), target.createDatabase('shop')])
  await source.query(richRoles)
  await source.query(richSchema, 'shop')
  const files = new ServiceFiles(
    { source, target, database: 'shop' },
    { migration: { exclude: ['app.not_moved'] } },
  )
  whole.teardown(() => files.remove())
  const env = {
    PONTOON_SOURCE_ADMIN: source.url('shop'),
    PONTOON_TARGET_ADMIN: target.url('shop'),
    PATH: '/usr/lib/postgresql/15/bin',
  }
  const line = ['schema', 'shop', '--config', files.config]
  const schema = (...args: string[]): Promise<Captured> => pontoon([...line, ...args], env)
  const tablesOnTarget = async (): Promise<number> => {
    const sql =
      "SELECT count(*)::int AS n FROM pg_class WHERE relnamespace = to_regnamespace('app')"
    const rows = await target.query<{ n: number }>(sql, 'shop')
    return rows[0]?.n ?? 0
  }

  await whole.test('a dry run changes nothing', async (t) => {
    const { exit, out } = await schema('--dry-run')
    t.equal(exit, 0, out)
    t.match(out, /\d+ objects would be made, 0 already there[^]*table +app\.everything/)
    t.match(out, /role +boss +no password.*no SUPERUSER/)
    t.equal(await tablesOnTarget(), 0)
    t.same(await target.query("SELECT 1 FROM pg_roles WHERE rolname ~ '^(pontoon|shop)'"), [])
  })

  await whole.test('goes on after kill -9', async (t) => {
    // Views cannot be made, so it stands still when others are there.
    const lock = new Client({ connectionString: target.url('shop') })
    await lock.connect()
    t.teardown(() => lock.end())
    await lock.query('BEGIN; LOCK TABLE pg_catalog.pg_rewrite IN SHARE MODE')
    const waiting = async (): Promise<boolean> =>
      (await target.query('SELECT FROM pg_locks WHERE NOT granted', 'shop')).length > 0
    const child = spawn(process.execPath, [...programArgs('src/main.ts'), ...line], {
      env: { ...process.env, ...env },
      stdio: 'ignore',
    })
    const gone = new Promise((resolve) => child.once('close', resolve))
    await until(waiting, 'it stands still', 30_000)
    child.kill('SIGKILL')
    await gone
    await lock.query('ROLLBACK')
    await until(async () => !(await waiting()), 'its session has ended')
    t.ok((await tablesOnTarget()) > 3)
    const { exit, out } = await schema()
    t.equal(exit, 0, out)
    t.match(out, /\d+ objects made, \d\d already there/)
    t.match(out, /The target is fenced: only pontoon_control/)
    t.match(out, /blocker +UNLOGGED_TABLE +app\.fleeting/)
    t.match(out, /table +app\.not_moved +excluded by the configuration/)
    t.match(out, /view +app\.over_not_moved +needs table app\.not_moved/)
  })

  await whole.test('a second run changes nothing', async (t) => {
    const before = await definitionsOf(target, 'shop')
    const { exit, json } = await schema('--json')
    t.equal(exit, 0)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the report's own type
    const objects = json['objects'] as { state: string }[]
    t.same([...new Set(objects.map(({ state }) => state))].toSorted(), ['equal', 'left-out'])
    t.same(await definitionsOf(target, 'shop'), before)
  })

  await whole.test('the rest comes after the data', async (t) => {
    const { exit, out } = await schema('--post-data')
    t.equal(exit, 0, out)
    t.match(out, /publication +theirs +publications send/)
    t.match((await schema('--post-data')).out, /nothing to do/)
    const [one, other] = await Promise.all([
      definitionsOf(source, 'shop'),
      definitionsOf(target, 'shop'),
    ])
    const { gone, added } = differences(one, other)
    t.same(added, [])
    const expected = /not_moved|theirs|^ {4}id integer NOT NULL$|^\);$/
    t.same(
      gone.filter((text) => !expected.test(text)),
      [],
    )
    t.same(await target.query('SELECT * FROM app.everything', 'shop'), [], 'no data goes')
  })

  await whole.test('roles, memberships, settings and grants', async (t) => {
    const sql = `SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreatedb, r.rolconnlimit, rolcanlogin,
        (SELECT array_agg(s.setconfig ORDER BY 1) FROM pg_db_role_setting s WHERE s.setrole = r.oid) AS settings,
        (SELECT array_agg(g.rolname ORDER BY 1) FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
          WHERE m.member = r.oid AND g.rolname !~ 'pontoon') AS groups
      FROM pg_roles r WHERE rolname !~ '^(pg_|postgres|pontoon)' ORDER BY 1`
    const [expected, found] = await Promise.all([
      source.query(sql, 'shop'),
      target.query(sql, 'shop'),
    ])
    t.same(
      found,
      expected.map((row) => ({ ...row, rolsuper: false })),
    )
    const passwords = 'SELECT rolname FROM pg_authid WHERE rolpassword IS NOT NULL ORDER BY 1'
    t.same(
      (await target.query(passwords)).map(({ rolname }) => rolname),
      ['pontoon_control', 'pontoon_read', 'pontoon_repl', 'postgres'],
    )
    const settings = `SELECT unnest(setconfig) AS s FROM pg_db_role_setting WHERE setrole = 0 ORDER BY 1`
    t.same(
      (await target.query(settings, 'shop')).map(({ s }) => s),
      ['default_transaction_read_only=on', 'lock_timeout=1min'],
    )
  })

  await whole.test("Pontoon's own roles and marks", async (t) => {
    for (const [server, epoch] of [
      [source, 1],
      [target, 1],
    ] as const) {
      t.match(await server.query('SELECT epoch::int, primary_side FROM pontoon.mark', 'shop'), [
        { epoch, primary_side: 'source' },
      ])
      const owners = `SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class
        WHERE relnamespace = 'pontoon'::regnamespace AND relkind = 'r' ORDER BY 1`
      t.same(
        (await server.query(owners, 'shop')).map(
          ({ relname, owner }) => `${String(relname)} ${String(owner)}`,
        ),
        [
          'fence pontoon_control',
          'heartbeat_forward pontoon_repl',
          'heartbeat_reverse pontoon_repl',
          'mark pontoon_control',
          'missed pontoon_control',
          'table_file pontoon_control',
        ],
      )
    }
    await source.query('UPDATE pontoon.mark SET epoch = 9', 'shop')
    t.equal((await schema()).exit, 0)
    t.match(await source.query('SELECT epoch::int FROM pontoon.mark', 'shop'), [{ epoch: 9 }])
  })

  await whole.test('what differs is told and left as it is', async (t) => {
    await target.query(
      'SET transaction_read_only = off; ALTER TABLE app.child ADD more int; DROP VIEW app.grouped',
      'shop',
    )
    const { exit, out } = await schema()
    t.equal(exit, 1)
    t.match(out, /table +app\.child +source has .*target has .*more integer/)
    t.match(out, /objects made/)
  })
})

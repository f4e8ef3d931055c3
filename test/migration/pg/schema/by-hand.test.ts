/**
 * An administrator runs what `schema --print-sql` prints, with psql, and Pontoon knows none: on the
 * source a superuser, on the target one as managed services give. Row security is forced, and the
 * database has settings that would change values under way.
 */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import tap from 'tap'
import { pontoon, type Captured } from '../../../cli/capture.ts'
import { postgresBinFolder } from '../../../support/postgres-binaries.ts'
import { programArgs } from '../../../support/program.ts'
import { startPostgres } from '../../../support/postgres.ts'
import { ServiceFiles } from './sides.ts'

tap.setTimeout(280_000)

const sourceSql = `
CREATE TABLE secrets (id int PRIMARY KEY, owner text); ALTER TABLE secrets OWNER TO "Shop App";
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secrets USING (owner = current_user);
INSERT INTO secrets VALUES (1, 'Shop App'), (2, 'another');
CREATE TABLE "values" (id int PRIMARY KEY, texts text[]);
ALTER TABLE "values" OWNER TO "Shop App";
INSERT INTO "values" VALUES (1, '{NULL,"NULL"}');
`

await tap.test('roles made by hand', async (whole) => {
  const settings = { wal_level: 'logical' }
  const [source, target] = await Promise.all([
    startPostgres({ major: 15, settings }),
    startPostgres({ major: 18, settings }),
  ])
  whole.teardown(() => Promise.all([source.stop(), target.stop()]))
  await source.query('CREATE ROLE "Shop App" LOGIN')
  await source.createDatabase('shop')
  await target.query(`CREATE ROLE master LOGIN PASSWORD 'secret' CREATEROLE CREATEDB REPLICATION BYPASSRLS;
    GRANT pg_monitor, pg_signal_backend, pg_read_all_data, pg_create_subscription TO master WITH ADMIN OPTION`)
  await target.createDatabase('shop', 'master')
  await target.query('ALTER DATABASE shop SET array_nulls = off')
  const files = new ServiceFiles({ source, target, database: 'shop' })
  whole.teardown(() => files.remove())
  const run = (...args: string[]): Promise<Captured> =>
    pontoon([...args, '--config', files.config], { PATH: '/usr/lib/postgresql/15/bin' })

  const byHand = async (side: 'source' | 'target', url: string): Promise<void> => {
    const { exit, out } = await run('schema', 'shop', '--print-sql', '--side', side)
    if (exit !== 0) throw new Error(out)
    const file = join(files.folder, `${side}.sql`)
    writeFileSync(file, out)
    const passwords = ['control', 'repl', 'read'].flatMap((role) => [
      '-v',
      `pontoon_${role}_password=secret-${role}`,
    ])
    await promisify(execFile)(join(postgresBinFolder(15), 'psql'), [
      '-X',
      '-q',
      ...passwords,
      '-f',
      file,
      url,
    ])
  }
  const onSource = (): Promise<void> => byHand('source', source.url('shop'))
  const onTarget = (): Promise<void> => byHand('target', target.url('shop', 'master', 'secret'))

  await whole.test('without roles the refusal says who makes them', async (t) => {
    const { exit, err } = await run('schema', 'shop', '--dry-run')
    t.equal(exit, 1)
    t.match(err, /pontoon_control.*pontoon schema makes it on the source.*--source-admin.*--print/s)
  })

  await whole.test('nothing is refused that is so already', async (t) => {
    await source.query(sourceSql, 'shop')
    await onSource()
    await onTarget()
    const { exit, out } = await run('schema', 'shop')
    t.equal(exit, 0, out)
    t.notMatch(out, /Refused/)
    t.match(out, 'The target is fenced: only pontoon_control')
  })

  await whole.test('forced row security hides nothing from a copy, nor stops sync', async (t) => {
    // A process of its own, since it starts another that holds the snapshot.
    await promisify(execFile)(process.execPath, [
      ...programArgs('src/main.ts'),
      'copy',
      'shop',
      '--config',
      files.config,
    ])
    const refused = await run('schema', 'shop', '--post-data')
    t.equal(refused.exit, 1)
    t.equal(refused.out.match(/must hide nothing from pontoon_(?:control|repl|read)/g)?.length, 3)
    await onTarget()
    const rest = await run('schema', 'shop', '--post-data')
    t.equal(rest.exit, 0, rest.out)
    await source.query(
      `INSERT INTO secrets VALUES (3, 'another');
       INSERT INTO "values" VALUES (2, '{NULL,"NULL"}')`,
      'shop',
    )
    const verified = await run('verify', 'shop')
    t.equal(verified.exit, 0, verified.out + verified.err)
    t.match(verified.out, /secrets +3 +3 +0/)
  })
})

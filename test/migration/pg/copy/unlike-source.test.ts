/** What could make the copied rows unlike those of the source: encodings, triggers of the target. */
import tap from 'tap'
import { CopyCommand } from '../../../support/copy-command.ts'
import { startPair } from '../../../support/migration-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const pair = await startPair({ source: 15, target: 15 })
tap.teardown(() => pair.stop())
const replicationRole = (verb: string, preposition: string): string =>
  `${verb} SET ON PARAMETER session_replication_role ${preposition} pontoon_control`
await pair.target.query(replicationRole('GRANT', 'TO'))

await tap.test('a trigger that fires for copied rows is refused', async (t) => {
  const schema = `CREATE TABLE changed (id int PRIMARY KEY, v text); CREATE TABLE quiet (id int PRIMARY KEY);
    CREATE FUNCTION change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.v := ''changed''; RETURN NEW; END'`
  const db = await pair.database('fires', { schema })
  await db.query('source', "INSERT INTO changed VALUES (1, 'as it was')")
  const onTarget = (mode: string): Promise<unknown> =>
    db.query('target', `ALTER TABLE changed ENABLE ${mode} TRIGGER change`)
  await db.query(
    'target',
    'CREATE TRIGGER change BEFORE INSERT ON changed FOR EACH ROW EXECUTE FUNCTION change()',
  )
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())
  await onTarget('ALWAYS')
  const refused = await command.run()
  t.equal(refused.exit, 3)
  t.match(refused.err, /fire for copied and for replicated rows: public\.changed\. ALTER TABLE/)
  await onTarget('REPLICA')
  await pair.target.query(replicationRole('REVOKE', 'FROM'))
  const later = await command.run()
  await pair.target.query(replicationRole('GRANT', 'TO'))
  t.equal(later.exit, 3, 'nor one that fires only for replicated rows, where copied ones are none')
  await onTarget('')
  t.equal((await command.run()).exit, 0, 'one that does not fire is no matter')
  t.match(await db.query('target', 'SELECT v FROM changed'), [{ v: 'as it was' }])
})

await tap.test('bytes of databases without an encoding come as they are', async (t) => {
  const db = await pair.database('raw', { schema: '' })
  for (const server of [pair.source, pair.target]) {
    await server.query('DROP DATABASE raw')
    await server.query(
      `CREATE DATABASE raw OWNER app TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`,
    )
    await server.query('GRANT CREATE ON DATABASE raw TO pontoon_control, pontoon_repl')
    await server.query(
      // An array of an enum goes as text, the other table in the binary format.
      `GRANT ALL ON SCHEMA public TO app; SET ROLE app; CREATE TYPE mood AS ENUM ('ok');
       CREATE TABLE as_binary (id int PRIMARY KEY, v text);
       CREATE TABLE as_text (id int PRIMARY KEY, v text, moods mood[])`,
      'raw',
    )
  }
  const add = (id: number): Promise<unknown> =>
    db.query(
      'source',
      String.raw`SET client_encoding = SQL_ASCII; INSERT INTO as_binary VALUES (${id}, E'\xfc');
       INSERT INTO as_text VALUES (${id}, E'\xe9', '{ok}')`,
    )
  await add(1)
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())
  const end = await command.run()
  t.equal(end.exit, 0, end.err)
  await add(2)
  const bytes = `SELECT id, encode(b.v::bytea, 'hex') AS b, encode(x.v::bytea, 'hex') AS x
    FROM as_binary b JOIN as_text x USING (id) ORDER BY 1`
  await until(async () => (await db.query('target', bytes)).length === 2, 'sync too', 10_000)
  t.same(await db.query('target', bytes), [
    { id: 1, b: 'fc', x: 'e9' },
    { id: 2, b: 'fc', x: 'e9' },
  ])
})

await tap.test(
  'bytes that the target cannot hold stop the copy until they are mended',
  async (t) => {
    const db = await pair.database('half', { schema: 'CREATE TABLE word (id int, v text)' })
    await pair.source.query('DROP DATABASE half')
    await pair.source.query(
      `CREATE DATABASE half TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`,
    )
    await db.query(
      'source',
      String.raw`CREATE TABLE word (id int PRIMARY KEY, v text);
     INSERT INTO word VALUES (1, E'\xc3\xbc'), (2, E'm\xfcller')`,
    )
    const command = new CopyCommand(db.context)
    t.teardown(() => command.remove())
    const stopped = await command.run()
    t.equal(stopped.exit, 1, stopped.out)
    t.match(
      stopped.err,
      /copying public\.word: .*0xfc.* encoding of the target: mend it on the source/,
    )
    await db.query('source', String.raw`UPDATE word SET v = E'm\xc3\xbcller' WHERE id = 2`)
    const again = await command.run('--restart')
    t.equal(again.exit, 0, again.err)
    t.match(await db.query('target', 'SELECT v FROM word ORDER BY id'), [
      { v: 'ü' },
      { v: 'müller' },
    ])
  },
)

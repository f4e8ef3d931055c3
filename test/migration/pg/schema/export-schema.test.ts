/** scripts/db-migration/export-schema.sql: psql runs it, and runs what it prints. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import tap from 'tap'
import { postgresBinFolder } from '../../../support/postgres-binaries.ts'
import { startPostgres, type PostgresServer } from '../../../support/postgres.ts'
import { richRoles, richSchema } from './rich-schema.ts'
import { definitionsOf, differences } from './sides.ts'

/** What the header of the script says is not exported, taken away for the comparison. */
const leftOut = `
DROP CAST (app.address AS text);
DROP AGGREGATE app.longest(text);
DROP OPERATOR app.@@@ (int, int[]);
DROP TEXT SEARCH CONFIGURATION app.plain;
DROP PUBLICATION theirs;
DROP EVENT TRIGGER watch;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA app REVOKE SELECT ON TABLES FROM readers;
`

tap.setTimeout(280_000)

const script = 'scripts/db-migration/export-schema.sql'

/** With psql of 15, whatever the server. */
async function psql(server: PostgresServer, database: string, file: string): Promise<string> {
  const args = ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-f', file, server.url(database)]
  const { stdout } = await promisify(execFile)(join(postgresBinFolder(15), 'psql'), args)
  return stdout
}

await tap.test('the export restores', async (t) => {
  const server = await startPostgres({ major: 15 })
  t.teardown(() => server.stop())
  await Promise.all([server.createDatabase('shop'), server.createDatabase('copy')])
  await server.query(richRoles)
  await server.query(richSchema, 'shop')
  const file = join(server.folder, 'schema.sql')
  writeFileSync(file, await psql(server, 'shop', script))
  await psql(server, 'copy', file)
  await server.query(leftOut, 'shop')
  const difference = differences(
    await definitionsOf(server, 'shop'),
    await definitionsOf(server, 'copy'),
  )
  t.same(difference, { gone: [], added: [] }, 'pg_dump says the same of both')
})

await tap.test('of 18 too, where the export of the copy is the same again', async (t) => {
  const server = await startPostgres({ major: 18 })
  t.teardown(() => server.stop())
  await Promise.all([server.createDatabase('shop'), server.createDatabase('copy')])
  await server.query(richRoles)
  await server.query(richSchema, 'shop')
  const exported = await psql(server, 'shop', script)
  const file = join(server.folder, 'schema.sql')
  writeFileSync(file, exported)
  await psql(server, 'copy', file)
  t.same((await psql(server, 'copy', script)).split('\n'), exported.split('\n'))
})

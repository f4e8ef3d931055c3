/** Programs that are no pg_dump of a fitting version: what is said, and what to install. */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap from 'tap'
import {
  canDump,
  dumpDefinitions,
  findPgDump,
  requireDumpOf,
} from '../../../../src/migration/pg/schema/pg-dump.ts'

const refused = (message: RegExp): { code: string; message: RegExp } => ({
  code: 'MIGRATION_REFUSED',
  message,
})

await tap.test('a pg_dump is found, and its version minded', async (t) => {
  const folder = t.testdir({})
  const path = join(folder, 'pg_dump')
  const program = (script: string): void => {
    writeFileSync(path, `#!/bin/sh\n${script}\n`)
    chmodSync(path, 0o755)
  }
  const says = (version: string): void => program(`echo 'pg_dump (PostgreSQL) ${version}'`)
  const onPath = { PATH: `/nowhere:${folder}:/bin:/usr/bin` }

  const absent = refused(/no pg_dump on PATH: install .* or name one with --pg-dump/)
  await t.rejects(findPgDump(undefined, { PATH: `/nowhere:${folder}` }), absent)
  await t.rejects(findPgDump(undefined, {}), absent)
  await t.rejects(findPgDump(path, onPath), refused(/pg_dump cannot be run/))

  for (const [version, major] of [
    ['14.11 (Debian 14.11-1.pgdg120+2)', 14],
    ['18beta1', 18],
    ['19devel', 19],
  ] as const) {
    says(version)
    t.match(await findPgDump(undefined, onPath), { path, major })
  }
  says('9.6.24')
  await t.rejects(findPgDump(undefined, onPath), refused(/too old or no pg_dump: .*9\.6\.24/))
  program('echo hello')
  await t.rejects(findPgDump(path, onPath), refused(/too old or no pg_dump: hello/))

  says('14.11')
  const old = await findPgDump(path, onPath)
  t.same([canDump(old, 13), canDump(old, 14), canDump(old, 15)], [true, true, false])
  requireDumpOf(old, 14)
  t.throws(
    () => requireDumpOf(old, 17),
    refused(/PostgreSQL 14 and cannot dump the source, which is 17: install postgresql-client-17/),
  )

  const access = {
    side: 'source',
    login: {
      endpoint: { host: '127.0.0.1', port: 1 },
      tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'prefer', options: {} },
      parameters: new Map([['user', 'nobody']]),
      password: null,
      timeoutMs: 1_000,
    },
    tls: { mode: 'disable', negotiation: 'postgres', channelBinding: 'prefer' },
  } as const
  const dump = (): Promise<unknown> => dumpDefinitions(old, access, new AbortController().signal)
  program("printf 'PGDMP\\001\\021\\000\\004\\010\\001'")
  await t.rejects(dump(), refused(/archives of version 1\.17, this Pontoon reads 1\.12 to 1\.16/))
  program("printf 'PGDMP\\001\\016'")
  await t.rejects(dump(), { code: 'SERVER_PROTOCOL', message: /ends too early/ })
  program("printf 'CREATE TABLE'")
  await t.rejects(dump(), { code: 'SERVER_PROTOCOL', message: /does not begin as an archive/ })
  program('echo "pg_dump: error: aborting because of server version mismatch" >&2; exit 1')
  await t.rejects(dump(), refused(/pg_dump of the source failed: .*server version mismatch/))
})

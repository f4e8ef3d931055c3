/** The first act: what there is, and what a migration has to know about it. Changes nothing. */
import { z } from 'zod'
import type { PostgresServer } from '../../test/support/postgres.ts'
import { databaseName } from './schema.ts'
import { ask, heading } from './stage.ts'
import type { Stage } from './stage.ts'

const plan = z.object({
  objects: z.array(z.object({ kind: z.string(), name: z.string(), state: z.string() })),
  findings: z.array(
    z.object({ severity: z.string(), code: z.string(), object: z.string(), text: z.string() }),
  ),
})

export async function audit(stage: Stage): Promise<void> {
  const { databases, view } = stage
  const { source, target } = databases
  heading(view, 'audit', 'what there is, and what speaks against moving it')
  view.say(`  source  PostgreSQL ${await versionOf(source)}, self-hosted, ${await sizeOf(source)}`)
  view.say(
    `  target  PostgreSQL ${await versionOf(target)}, as if managed: TLS only, no superuser, empty`,
  )
  view.say(`  tables  ${await tablesOf(source)}`)
  const { objects, findings } = plan.parse(await ask(stage, ['schema', 'orders', '--dry-run']))
  view.say('$ pontoon schema orders --dry-run')
  const count = (state: string): number => objects.filter((one) => one.state === state).length
  view.say(`  ${count('created')} objects to make on the target, ${count('left-out')} left out`)
  const severities = ['blocker', 'warning', 'note']
  const counts = severities.map((name) => {
    const found = findings.filter(({ severity }) => severity === name).length
    return `${found} ${name}${found === 1 ? '' : 's'}`
  })
  view.say(`  findings: ${counts.join(', ')}`)
  for (const { severity, code, object, text } of findings)
    view.say(`    ${severity} ${code} ${object}: ${text}`)
}

async function versionOf(server: PostgresServer): Promise<string> {
  const rows = await server.query<{ version: string }>(
    `SELECT split_part(current_setting('server_version'), ' ', 1) AS version`,
  )
  return rows[0]?.version ?? ''
}

async function sizeOf(server: PostgresServer): Promise<string> {
  const rows = await server.query<{ size: string }>(
    'SELECT pg_size_pretty(pg_database_size($1)) AS size',
    'postgres',
    [databaseName],
  )
  return rows[0]?.size ?? ''
}

async function tablesOf(server: PostgresServer): Promise<string> {
  const rows = await server.query<{ name: string; count: string }>(
    `SELECT relname AS name, greatest(reltuples, 0)::bigint::text AS count FROM pg_class
     WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
     ORDER BY reltuples DESC, relname`,
    databaseName,
  )
  return rows.map(({ name, count }) => `${name} (~${count})`).join(', ')
}

/**
 * Whether the fence of a side would hold, and whether the control role may do there what a switch
 * needs. Both are asked of both sides: a rollback fences the side that a cutover opens.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { toPontoonError } from '../../../shared/errors.ts'
import { arrayLiteral, fenceHoles, fenceSql, readPrior } from '../fence.ts'
import { qualified, readable } from '../quote.ts'
import type { Sequence } from '../tables.ts'
import { blocker, ok, type Guard } from './model.ts'
import { fenceSpec, ownRoles, type SwitchSide } from './switch-sides.ts'
import type { MigrationContext } from '../side-login.ts'

/** The fence itself, in a transaction that is taken back: nobody notices, no right is guessed at. */
export async function fenceGuard(context: MigrationContext, at: SwitchSide): Promise<Guard> {
  const { side, watch } = at
  const spec = fenceSpec(context, side)
  const members = await applicationMembers(watch, context, at)
  if (members.length > 0)
    return blocker(
      'fence',
      `${side}: the application shares a role of Pontoon and would pass every fence: ` +
        `${members.join(', ')}; REVOKE that, or set controlUser and replicationUser to others`,
    )
  try {
    const prior = await readPrior(watch, spec)
    // Where Pontoon's schema is not yet there, the switch makes it before the fence.
    const isThere = (await watch.value("SELECT pg_catalog.to_regclass('pontoon.fence')")) !== null
    if (!isThere) return ok('fence', `${side} is fenced for the first time`)
    await watch.run(`BEGIN; ${fenceSql(spec, prior)}`)
    const holes = await fenceHoles(watch, spec)
    if (holes.length === 0) return ok('fence', `a fence keeps the application out of ${side}`)
    return blocker(
      'fence',
      `roles that could connect to ${side} in spite of its fence: ${holes.join(', ')}; their ` +
        'right to connect comes from another role or was granted by one that does not own the ' +
        'database: REVOKE it, or name them in migration.keepRoles',
    )
  } catch (error) {
    return blocker('fence', `${side} cannot be fenced: ${toPontoonError(error).message}`)
  } finally {
    if (watch.isOpen) await watch.run('ROLLBACK')
  }
}

/** As `role (is a member of control)`. */
async function applicationMembers(
  client: SqlClient,
  context: MigrationContext,
  { side }: SwitchSide,
): Promise<readonly string[]> {
  const { rows } = await client.query(
    `SELECT a.rolname || ' is a member of ' || o.rolname
     FROM pg_catalog.pg_roles a CROSS JOIN pg_catalog.pg_roles o
     WHERE NOT a.rolsuper AND a.rolname = ANY ($1::text[]) AND o.rolname = ANY ($2::text[])
       AND pg_catalog.pg_has_role(a.oid, o.oid, 'MEMBER')`,
    [
      arrayLiteral(fenceSpec(context, side).applicationRoles),
      arrayLiteral(ownRoles(context, side)),
    ],
  )
  return rows.map(([text]) => text ?? '')
}

const namedMax = 10

/** What the control role reads and sets in the pause; it sees no sessions without pg_monitor. */
export async function rightsGuard(
  { side, watch }: SwitchSide,
  sequences: readonly Sequence[],
): Promise<Guard> {
  const { rows } = await watch.query(
    `SELECT p.name FROM (VALUES ('pg_read_all_stats'), ('pg_signal_backend')) p (name)
     WHERE NOT pg_catalog.pg_has_role(p.name, 'USAGE')`,
  )
  const missing = rows.map(([role]) => `membership in ${role}`)
  const found = await watch.query(
    `SELECT s.i FROM ROWS FROM (json_array_elements_text($1::json)) WITH ORDINALITY s (name, i)
     WHERE NOT (pg_catalog.has_sequence_privilege(s.name, 'SELECT')
       AND pg_catalog.has_sequence_privilege(s.name, 'UPDATE'))`,
    [JSON.stringify(sequences.map(qualified))],
  )
  const closed = found.rows.flatMap(([index]) => {
    const sequence = sequences[Number(index) - 1]
    return sequence === undefined ? [] : [readable(sequence)]
  })
  if (closed.length > 0)
    missing.push(
      `SELECT and UPDATE on ${closed.length} sequences (${closed.slice(0, namedMax).join(', ')})`,
    )
  return missing.length === 0
    ? ok('rights', `the control role may do on ${side} what a switch needs`)
    : blocker(
        'rights',
        `the control role lacks on ${side}: ${missing.join('; ')}; pontoon schema grants that`,
      )
}

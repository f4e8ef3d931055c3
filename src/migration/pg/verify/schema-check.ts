/** What else has to be the same on both sides beside the rows of tables. */
import { z } from 'zod'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { otherSide, sides, type Side } from '../../../shared/side.ts'
import { applicationRoles } from '../switch/switch-sides.ts'
import { qualified, readable, type QualifiedName } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import { readSchemaObjects, type SchemaObject } from './schema-objects.ts'
import { sequencesBehind } from './sequence-check.ts'

export const schemaReportSchema = z.object({
  differences: z.array(
    z.object({
      kind: z.string(),
      name: z.string(),
      /** Null where it is missing. */
      primary: z.string().nullable(),
      other: z.string().nullable(),
    }),
  ),
  sequencesBehind: z.array(
    z.object({ sequence: z.string(), primary: z.string(), other: z.string() }),
  ),
  objects: z.number(),
  warnings: z.array(z.string()),
})
export type SchemaReport = Readonly<z.infer<typeof schemaReportSchema>>

export interface SchemaCheckOptions {
  readonly context: MigrationContext
  readonly primary: Side
  readonly exclude: readonly string[]
  readonly unlogged: readonly QualifiedName[]
  readonly signal?: AbortSignal | undefined
}

export async function checkSchema(options: SchemaCheckOptions): Promise<SchemaReport> {
  const { context, primary, exclude } = options
  const login = { purpose: 'read', task: 'verify' } as const
  const here = await connectAs(context, { ...login, side: primary })
  try {
    const there = await connectAs(context, { ...login, side: otherSide(primary) })
    try {
      const withQueries = here.major === there.major
      const ours = ourRoles(context)
      const own = await readSchemaObjects(here, exclude, ours, withQueries)
      const opposite = await readSchemaObjects(there, exclude, ours, withQueries)
      const behind = await sequencesBehind(here, there, exclude)
      return {
        objects: own.length,
        differences: [...differencesBetween(own, opposite)],
        sequencesBehind: behind.map((one) => ({ ...one })),
        warnings: [...(await warningsOf(here, there, options))],
      }
    } finally {
      there.close()
    }
  } finally {
    here.close()
  }
}

/** Roles of Pontoon, on either side, that clients of the service do not go out as. */
function ourRoles(context: MigrationContext): readonly string[] {
  const theirs = sides.flatMap((side) => applicationRoles(context, side))
  const named = sides.flatMap((side) => {
    const { controlUser, replicationUser, readUser } = context.config[side]
    return [controlUser, replicationUser, readUser].flatMap((role) => role?.user ?? [])
  })
  return named.filter((role) => !theirs.includes(role))
}

function differencesBetween(
  here: readonly SchemaObject[],
  there: readonly SchemaObject[],
): SchemaReport['differences'] {
  const opposite = byName(there)
  const own = byName(here)
  const names = [...new Set([...own.keys(), ...opposite.keys()])].toSorted()
  return names.flatMap((id) => {
    const [one, two] = [own.get(id), opposite.get(id)]
    if (one?.definition === two?.definition) return []
    const { kind = '', name = '' } = one ?? two ?? {}
    return [{ kind, name, primary: one?.definition ?? null, other: two?.definition ?? null }]
  })
}

function byName(objects: readonly SchemaObject[]): ReadonlyMap<string, SchemaObject> {
  return new Map(objects.map((object) => [`${object.kind} ${object.name}`, object]))
}

/** What replication does not carry. */
async function warningsOf(
  here: SqlClient,
  there: SqlClient,
  { unlogged, signal, primary }: SchemaCheckOptions,
): Promise<readonly string[]> {
  const warnings: string[] = []
  const count = async (client: SqlClient, table: string): Promise<string> =>
    (await client.value(`SELECT count(*) FROM ${table}`, undefined, {
      signal,
      timeoutMs: 600_000,
    })) ?? '0'
  for (const table of unlogged) {
    const [one, two] = [await count(here, qualified(table)), await count(there, qualified(table))]
    if (one === two && one === '0') continue
    warnings.push(
      `${readable(table)} is unlogged, so its rows are not carried over: ` +
        `${one} on the ${primary}, ${two} on the ${otherSide(primary)}`,
    )
  }
  const objects = 'pg_catalog.pg_largeobject_metadata'
  const [one, two] = [await count(here, objects), await count(there, objects)]
  if (one !== '0' || two !== '0') {
    warnings.push(
      `large objects are not carried over and not compared: ` +
        `${one} on the ${primary}, ${two} on the ${otherSide(primary)}`,
    )
  }
  return warnings
}

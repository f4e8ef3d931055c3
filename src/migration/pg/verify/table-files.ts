/** What a comparison proves about tables that may have been truncated: see ../truncations.ts. */
import { sides, type Side } from '../../../shared/side.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { carriesTruncate, noteFiles, readFiles } from '../truncations.ts'

/** Of both sides, before anything is compared; null where every TRUNCATE is carried over. */
export async function filesBefore(
  context: MigrationContext,
): Promise<Readonly<Record<Side, string>> | null> {
  const opened: SqlClient[] = []
  try {
    for (const side of sides) opened.push(await connectAs(context, { side, ...asControl }))
    const [source, target] = opened
    if (source === undefined || target === undefined) return null
    if (carriesTruncate(source.major, target.major)) return null
    return { source: await readFiles(source), target: await readFiles(target) }
  } finally {
    for (const client of opened) client.close()
  }
}

/** All rows were compared and are equal. */
export async function noteEqual(
  context: MigrationContext,
  primary: Side,
  files: Readonly<Record<Side, string>>,
): Promise<void> {
  const client = await connectAs(context, { side: primary, ...asControl })
  try {
    await noteFiles(client, files[primary])
  } finally {
    client.close()
  }
}

const asControl = { purpose: 'control', task: 'verify' } as const

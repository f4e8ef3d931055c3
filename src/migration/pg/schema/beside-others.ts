/**
 * Statements about roles, which belong to the whole server: `pontoon schema` of another service may
 * be at the same ones at the same moment. An advisory lock would not keep them apart, since it
 * belongs to one database. Each statement may run again, and then finds what the other has done.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { hasSqlstate } from '../../../net/pg/sql-error.ts'
import { wait } from '../../../shared/wait.ts'

const triesMax = 10
const betweenTriesMs = 50

/** unique_violation, deadlock_detected, and "tuple concurrently updated", which has no code of its own. */
const collisions = ['23505', '40P01', 'XX000'] as const
const duplicateObject = '42710'

export async function runBesideOthers(client: SqlClient, sql: string): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    try {
      await client.run(sql)
      return
    } catch (thrown) {
      if (tries === triesMax || !hasSqlstate(thrown, ...collisions)) throw thrown
    }
    await wait(betweenTriesMs)
  }
}

/** Gives false, with nothing done, where what `sql` is to create is there: another was quicker. */
export async function createBesideOthers(client: SqlClient, sql: string): Promise<boolean> {
  try {
    await runBesideOthers(client, sql)
    return true
  } catch (thrown) {
    if (!hasSqlstate(thrown, duplicateObject)) throw thrown
    return false
  }
}

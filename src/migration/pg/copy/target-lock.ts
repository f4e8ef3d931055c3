/**
 * One copy at a time into a database, whoever runs it. The folder of its state keeps that promise on
 * one machine; a copy from another one is only met in the target.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { lockSession } from '../session-lock.ts'
import { copyLimits } from './limits.ts'

/** 'pont' and 'copy'. */
const copyLockKeys = '1886350964, 1668247673'

/**
 * Held until `target` is closed. Rejects with MIGRATION_REFUSED naming the holder. `isAgain`: on a
 * new connection, as the old one was lost.
 */
export async function lockTarget(
  target: SqlClient,
  signal?: AbortSignal,
  { isAgain = false } = {},
): Promise<void> {
  const lock = {
    keys: copyLockKeys,
    patienceMs: isAgain ? copyLimits.lockAgainMs : copyLimits.lockMs,
    refusal: (holder: string): string =>
      'Another copy into this target runs, from another machine or state folder: ' +
      `the target has it as ${holder}. End that one first.`,
  }
  await lockSession(target, lock, signal)
}

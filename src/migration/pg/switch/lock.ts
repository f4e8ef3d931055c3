/**
 * One switch at a time in a pair of databases, whoever runs it. The store keeps that promise within
 * one sidecar; a second one with a folder of its own, on another host, is only met in the databases.
 */
import { PontoonError } from '../../../shared/errors.ts'
import { wait } from '../../../shared/wait.ts'
import type { SwitchSides } from './switch-sides.ts'

/** 'pont' and 'swit': two keys make a clash with the application's own locks unlikely. */
export const switchLockKeys = '1886351988, 1937205620'
/** The session of a switch that has just ended, or was killed, may be there for a moment. */
const patienceMs = 3_000
const pollMs = 100

/**
 * Held until the control connections are closed, by whatever end: nothing has to be cleaned up.
 * Rejects with MIGRATION_REFUSED naming the holder.
 */
export async function lockSwitch({ from, to }: SwitchSides, signal: AbortSignal): Promise<void> {
  // The same order for both directions, so that two of them cannot hold one side each.
  const [first, second] = from.side === 'source' ? [from, to] : [to, from]
  const deadlineMs = performance.now() + patienceMs
  for (const { side, control } of [first, second]) {
    const take = `SELECT pg_catalog.pg_try_advisory_lock(${switchLockKeys})`
    while ((await control.value(take, undefined, { signal })) !== 't') {
      if (performance.now() > deadlineMs)
        throw new PontoonError(
          'MIGRATION_REFUSED',
          `another Pontoon is switching this database: ${side} is locked by ` +
            `${await holderOn(control)}; wait until that one has ended`,
        )
      await wait(pollMs, signal)
    }
  }
}

async function holderOn(control: SwitchSides['from']['control']): Promise<string> {
  const { rows } = await control.query(
    `SELECT a.pid, a.application_name, COALESCE(host(a.client_addr), 'local')
     FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
       AND l.database = (SELECT oid FROM pg_catalog.pg_database
         WHERE datname = pg_catalog.current_database())
       AND (l.classid::int8, l.objid::int8) = (${switchLockKeys})`,
  )
  const [pid, application, address] = rows[0] ?? []
  return pid === undefined
    ? 'a session that has just ended'
    : `${application}, pid ${pid} from ${address}`
}

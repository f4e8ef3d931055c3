/** Which texts src/routing/session-reset.ts takes for nothing but a reset. */
import t from 'tap'
import { resetOf, type Reset } from '../../src/routing/session-reset.ts'
import { npgsqlReset, asyncpgReset } from '../support/driver-resets.ts'

const cases: readonly (readonly [sql: string, reset: Reset])[] = [
  [asyncpgReset, 'settings'],
  [npgsqlReset, 'identity'],
  ['RESET ALL', 'settings'],
  ['  reset\n all ; ', 'settings'],
  ['DISCARD ALL', 'identity'],
  ['RESET ALL; SET SESSION AUTHORIZATION DEFAULT', 'identity'],
  // Nothing is reset.
  ['CLOSE ALL; UNLISTEN *', ''],
  ['SET SESSION AUTHORIZATION DEFAULT', ''],
  ['', ''],
  // There is more to it.
  ['RESET ALL; SET x = 1', ''],
  ['BEGIN; RESET ALL', ''],
  ['RESET ALL; ROLLBACK', ''],
  ['RESET work_mem', ''],
  ['RESET ALL; UNLISTEN news', ''],
  ['RESET ALL; SELECT pg_advisory_unlock(1)', ''],
  ["RESET ALL; SELECT ';CLOSE ALL;'", ''],
  [`RESET ALL${' '.repeat(400)}`, ''],
]

for (const [sql, reset] of cases) t.equal(resetOf(sql), reset, sql.slice(0, 60))

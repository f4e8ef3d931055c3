/** What drivers send to clean a session at its release to their pool, word by word. */

/** asyncpg 0.27 to 0.30, Pool.release. */
export const asyncpgReset = `SELECT pg_advisory_unlock_all();
CLOSE ALL;
UNLISTEN *;
RESET ALL;`

/** Npgsql 8, where statements stay prepared; otherwise DISCARD ALL. */
export const npgsqlReset =
  'SET SESSION AUTHORIZATION DEFAULT;RESET ALL;CLOSE ALL;UNLISTEN *;' +
  'SELECT pg_advisory_unlock_all();DISCARD SEQUENCES;DISCARD TEMP'

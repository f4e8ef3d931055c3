/**
 * What tells one running PostgreSQL from another when both may answer at one address, as behind a
 * TCP load balancer: the microsecond at which its postmaster was started. Everybody may ask for it.
 * The system identifier would not do, since a standby has that of its primary, nor the address that
 * the server has for itself, since containers on different hosts have the same.
 */

/** An expression; no setting of the session changes how its value is written. */
export const postmasterSql = `pg_catalog.to_char(
  pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), 'YYYY-MM-DD HH24:MI:SS.US')`

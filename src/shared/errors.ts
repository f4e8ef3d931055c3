/**
 * The one table of operational errors: expected, coded, and each says whether a retry is safe.
 * Mapped to SQLSTATE for PostgreSQL clients and to a problem document for the admin API in one
 * place each. docs/errors.md lists the table; a test holds the two together.
 */
export interface ErrorKind {
  /** SQLSTATE for a PostgreSQL client (PostgreSQL documentation, Appendix A). */
  readonly sqlstate: string
  /** HTTP status of the admin API. */
  readonly http: number
  /** Whether the caller may repeat the request knowing that nothing of it was done. */
  readonly retrySafe: boolean
  /** What the code means, in one sentence, for docs/errors.md. */
  readonly meaning: string
}

const kinds = {
  CONFIG_INVALID: kind(
    'F0000',
    400,
    false,
    'The configuration file has a mistake; the message names its path.',
  ),
  CONFIG_UNREADABLE: kind(
    'F0000',
    400,
    false,
    'The configuration file cannot be read or is not YAML.',
  ),
  CONFIG_ENV_MISSING: kind(
    'F0000',
    400,
    false,
    'The configuration names an environment variable or secret file that is not set.',
  ),
  STATE_UNREADABLE: kind(
    'F0000',
    500,
    false,
    'The state file is damaged or cannot be read or written.',
  ),
  STATE_TOO_NEW: kind(
    'F0000',
    500,
    false,
    'The state file was written by a newer Pontoon than this one.',
  ),
  STATE_LOCKED: kind('F0000', 409, false, 'Another Pontoon process holds the state folder.'),
  LISTEN_IN_USE: kind('F0000', 500, false, 'The listen address is taken by another process.'),
  LISTEN_FAILED: kind('F0000', 500, false, 'The listen address cannot be bound.'),
  USAGE: kind('F0000', 400, false, 'The command line is wrong.'),
  ADMIN_UNREACHABLE: kind('F0000', 502, true, 'No sidecar answers at the admin URL.'),

  DNS_FAILED: kind('08001', 502, true, 'The host name of a side does not resolve.'),
  CONNECT_FAILED: kind('08001', 502, true, 'A side refuses or resets TCP connections.'),
  CONNECT_TIMEOUT: kind('08001', 504, true, 'A side does not answer within the connect timeout.'),
  TLS_REFUSED: kind(
    '08001',
    502,
    true,
    'A side does not offer TLS although the configuration asks for it.',
  ),
  TLS_CERTIFICATE: kind(
    '08001',
    502,
    true,
    'The certificate of a side does not verify; the message says why.',
  ),
  TLS_FAILED: kind('08001', 502, true, 'The TLS handshake with a side failed.'),
  SERVER_AUTH_FAILED: kind('28000', 502, true, 'A side refuses the credentials that Pontoon uses.'),
  SERVER_AUTH_UNSUPPORTED: kind(
    '28000',
    502,
    true,
    'A side asks for an authentication method that Pontoon does not speak.',
  ),
  SECRET_UNAVAILABLE: kind(
    '08001',
    502,
    true,
    'A password or token for a side cannot be had; the message says which and why.',
  ),
  SERVER_REJECTED: kind(
    '08004',
    502,
    true,
    'A side refuses new sessions; the message carries its own words.',
  ),
  SERVER_UNAVAILABLE: kind(
    '08004',
    502,
    true,
    'A side takes no sessions at present: it starts, stops, or has no connection left.',
  ),
  SERVER_IN_RECOVERY: kind(
    '57P03',
    502,
    true,
    'A server that should take writes is a standby: the name of the side leads to the wrong one, or a failover is under way.',
  ),
  MARK_MISMATCH: kind(
    '57P03',
    409,
    true,
    'The mark in a database names another primary side than the route; the gate is shut until an operator decides.',
  ),
  SERVER_PROTOCOL: kind('08P01', 502, false, 'A side broke the protocol; that server was closed.'),
  SERVER_LOST: kind(
    '08006',
    502,
    false,
    'The server went away while the request was under way; its fate is unknown.',
  ),

  CLIENT_PROTOCOL: kind('08P01', 400, true, 'The client broke the protocol; it was closed.'),
  CLIENT_VERSION: kind(
    '0A000',
    400,
    true,
    'The client asks for a protocol version or a kind of encryption that is not spoken.',
  ),
  CLIENT_LEFT: kind(
    '08006',
    400,
    true,
    'The client closed its half of the connection while its request waited for a server.',
  ),
  CLIENT_AUTH_FAILED: kind(
    '28P01',
    401,
    true,
    'The client gave a wrong password or an unknown user.',
  ),
  AUTH_QUERY_FAILED: kind(
    '08004',
    502,
    true,
    'The verifier of a user cannot be looked up on the primary side; the message says why.',
  ),
  CLIENT_NOT_ALLOWED: kind(
    '28000',
    403,
    true,
    'The user or database is not listed in the service, or the certificate is not valid or not of that user.',
  ),
  CLIENT_TLS_REQUIRED: kind('28000', 403, true, 'The service takes clients over TLS only.'),
  CLIENT_LOGIN_TIMEOUT: kind('08P01', 408, true, 'The client did not finish its startup in time.'),
  CLIENT_SLOW_READER: kind('57P05', 408, false, 'The client did not read its result in time.'),
  CLIENT_IDLE: kind('57P05', 408, true, 'The client was silent for longer than clientIdleMs.'),
  QUERY_TIMEOUT: kind(
    '57014',
    504,
    false,
    'A query ran longer than queryTimeoutMs and its server did not obey the cancel request.',
  ),
  TRANSACTION_TIMEOUT: kind(
    '25P04',
    504,
    false,
    'A transaction was open for longer than transactionTimeoutMs.',
  ),
  IDLE_IN_TRANSACTION: kind(
    '25P03',
    408,
    false,
    'The client was silent in an open transaction for longer than idleInTransactionMs.',
  ),
  BUFFER_LIMIT: kind(
    '53200',
    503,
    false,
    'The clients of the service hold more than bufferBytesMax; this one held most.',
  ),
  STARTUP_TOO_LARGE: kind('08P01', 413, true, 'A startup packet is longer than startupBytesMax.'),
  STARTUP_PARAMETER: kind(
    '22023',
    400,
    true,
    'A side does not take a startup parameter of the client.',
  ),
  SETTING_REFUSED: kind(
    '22023',
    502,
    true,
    'A side does not take a setting of the session; its request was not begun.',
  ),
  CLIENT_LIMIT: kind('53300', 429, true, 'The service has as many clients as it may.'),
  CLIENT_USER_LIMIT: kind('53300', 429, true, 'The user has as many clients as it may.'),
  CLIENT_DATABASE_LIMIT: kind('53300', 429, true, 'The database has as many clients as it may.'),
  REPLICATION_LIMIT: kind(
    '53300',
    429,
    true,
    'The service has as many replication clients as it may.',
  ),
  MESSAGE_TOO_LARGE: kind('54000', 413, true, 'A message is longer than the limit.'),

  READ_ONLY_LEFT: kind(
    '25006',
    409,
    true,
    'A text would leave its READ ONLY transaction on the side that takes no writes.',
  ),

  POOL_QUEUE_FULL: kind('53300', 503, true, 'Too many clients wait for a server.'),
  POOL_TIMEOUT: kind('53300', 503, true, 'No server became free within queueTimeoutMs.'),
  GATE_TIMEOUT: kind(
    '57P03',
    503,
    true,
    'The service stayed paused longer than the client may wait.',
  ),
  SHUTTING_DOWN: kind('57P01', 503, true, 'Pontoon is shutting down.'),
  SIDE_LEFT: kind(
    '57P01',
    503,
    true,
    'The session holds a server of a side that is primary no more, and state that cannot move.',
  ),
  TERMINATED: kind('57P01', 503, false, 'An operator ended the session.'),

  UNAUTHENTICATED: kind('28000', 401, true, 'The admin request carries no valid token.'),
  FORBIDDEN: kind('42501', 403, true, 'The role of the token does not allow this.'),
  HOST_NOT_ALLOWED: kind(
    '42501',
    403,
    true,
    'The Host or Origin header is not one of the admin listener.',
  ),
  NOT_FOUND: kind('42704', 404, true, 'No such service, operation or page.'),
  BAD_REQUEST: kind(
    '22023',
    400,
    true,
    'The request body or a parameter is wrong; the message names it.',
  ),
  RATE_LIMITED: kind('53400', 429, true, 'Too many wrong tokens, or too many event subscribers.'),
  EPOCH_REQUIRED: kind(
    '22023',
    428,
    true,
    'A route change needs If-Match with the epoch it is based on.',
  ),
  EPOCH_STALE: kind('40001', 412, true, 'The route has changed since the epoch in If-Match.'),
  ROUTE_REFUSED: kind(
    '0A000',
    409,
    true,
    'The route asked for could cause split-brain or is not supported; the message says which.',
  ),
  SQL_FAILED: kind(
    '58000',
    502,
    false,
    'A side refuses a statement of Pontoon itself; the message carries its words and SQLSTATE.',
  ),
  SQL_TIMEOUT: kind('57014', 504, false, 'A statement of Pontoon itself took too long.'),
  ABORTED: kind('57014', 409, true, 'The work was told to stop; the message says by whom.'),
  MIGRATION_REFUSED: kind(
    '55000',
    409,
    true,
    'A guard refuses the next step of a migration; the message lists what to mend.',
  ),
  SWITCH_RUNNING: kind('55006', 409, true, 'A cutover or rollback of the service is under way.'),
  SWITCH_DECIDED: kind(
    '55000',
    409,
    false,
    'The cutover or rollback was decided otherwise meanwhile, or is over.',
  ),
  SWITCH_ABORTED: kind(
    '55000',
    409,
    true,
    'A cutover or rollback was aborted before its commit point; everything is as it was.',
  ),
  SYNC_BEHIND: kind(
    '55000',
    504,
    true,
    'The other side does not apply in the time given what the primary side has committed.',
  ),
  GATE_REFUSED: kind('55000', 409, true, 'The gate cannot do that in its present state.'),
  INTERNAL: kind('XX000', 500, false, 'A bug in Pontoon.'),
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof kinds

export const errorTable: Readonly<Record<ErrorCode, ErrorKind>> = Object.freeze(kinds)

export class PontoonError extends Error {
  override readonly name = 'PontoonError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }

  get kind(): ErrorKind {
    return errorTable[this.code]
  }
}

/** Turns anything thrown into a PontoonError without losing the cause. */
export function toPontoonError(thrown: unknown, fallback: ErrorCode = 'INTERNAL'): PontoonError {
  if (thrown instanceof PontoonError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new PontoonError(fallback, message, { cause: thrown })
}

function kind(sqlstate: string, http: number, retrySafe: boolean, meaning: string): ErrorKind {
  return { sqlstate, http, retrySafe, meaning }
}

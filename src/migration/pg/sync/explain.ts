/**
 * What stops an apply worker, in its own words, and what to do about it. PostgreSQL tells the words
 * in the log of the receiving server only.
 */
export interface Explanation {
  readonly cause: string
  readonly fix: string
}

interface Known {
  readonly pattern: RegExp
  readonly cause: string
  readonly fix: string
}

/** The first that matches counts. */
const known: readonly Known[] = [
  {
    pattern: /duplicate key value violates unique constraint "(?<name>[^"]+)"/,
    cause: 'a row arrives whose key ($name) the receiving side has already: somebody wrote there',
    fix: 'delete that row on the receiving side (pontoon verify lists what differs)$byHand, then pontoon sync',
  },
  {
    pattern: /conflict=(?<name>insert_exists|update_exists|multiple_unique_conflicts)/,
    cause: 'a row arrives whose key the receiving side has already ($name): somebody wrote there',
    fix: 'delete that row on the receiving side (pontoon verify lists what differs)$byHand, then pontoon sync',
  },
  {
    pattern: /missing replicated columns?: (?<name>.+)$/,
    cause: 'DDL on the sending side only: the receiving table has no column $name',
    fix: 'add the column on the receiving side, then pontoon sync',
  },
  {
    pattern: /logical replication target relation "(?<name>[^ ]+)" does not exist/,
    cause: 'a table is published that the receiving side has not: $name',
    fix: 'make it on the receiving side, then pontoon sync',
  },
  {
    pattern: /has neither REPLICA IDENTITY index nor PRIMARY KEY/,
    cause: 'a changed row cannot be found: the receiving table has no key',
    fix: 'make its primary key on the receiving side, then pontoon sync',
  },
  {
    pattern: /incompatible generated column/,
    cause: 'a column is generated on the receiving side only',
    fix: 'ALTER TABLE … ALTER … DROP EXPRESSION on the receiving side, then pontoon sync',
  },
  {
    pattern: /cannot execute .+ in a read-only transaction/,
    cause:
      'the fence binds a trigger that runs on the receiving side (ENABLE ALWAYS or REPLICA) and writes there',
    fix: 'ALTER TABLE … DISABLE TRIGGER on the receiving side, then pontoon sync',
  },
  {
    pattern:
      /(?:connect|FATAL).*(?:permission denied for database|is not permitted to log in|database "[^"]+" does not exist)/,
    cause: 'the sending server does not let the subscription in',
    fix: 'give replicationUser LOGIN and CONNECT on the database of the sending side; it goes on by itself',
  },
  {
    pattern:
      /exceeds max_wal_senders|too many (?:clients|connections)|connection slots are reserved|all replication slots are in use/,
    cause: 'the sending server has no room for the connection or the slot of the subscription',
    fix: 'raise max_wal_senders, max_replication_slots or max_connections there; it goes on by itself',
  },
  {
    pattern: /could not find free replication state/,
    cause: 'the receiving server has no room to note how far its subscriptions are',
    fix: 'raise max_replication_slots there (from 18 on max_active_replication_origins); it goes on by itself',
  },
  {
    pattern: /permission denied for (?<name>.+)$/m,
    cause: 'the owner of the subscription may not write $name',
    fix: 'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE on it to that role, then pontoon sync',
  },
  {
    pattern: /row-level security/,
    cause: 'row security that is forced on the owner of a table binds the replicationUser too',
    fix: 'ALTER ROLE … BYPASSRLS for that role on the receiving side; it goes on by itself',
  },
  {
    pattern: /violates (?<name>foreign key|check|not-null) constraint|null value in column/,
    cause: 'a constraint of the receiving side refuses a row that the sending side has',
    fix: 'make the constraints of both sides the same, then pontoon sync',
  },
  {
    pattern: /invalid input (?:syntax|value)|out of range|value too long/,
    cause: 'a value does not fit the type that its column has on the receiving side',
    fix: 'give the column the same type on both sides, then pontoon sync',
  },
  {
    pattern: /password authentication failed|no password supplied|no pg_hba\.conf entry/,
    cause: 'the receiving server cannot log in to the sending one',
    fix: 'mend replicationUser or pg_hba.conf of the sending side, then pontoon sync (it renews the password)',
  },
  {
    pattern:
      /could not connect to|connection to server at|could not receive data from WAL stream(?!: ERROR)|terminating walsender/,
    cause: 'the receiving server does not reach the sending one',
    fix: 'mend the way between the servers (hostSeenFromOtherSide, firewall, TLS); it goes on by itself',
  },
  {
    pattern: /replication slot "(?<name>[^"]+)" does not exist/,
    cause:
      'the slot $name is gone from the sending side: changes since then are lost to the stream',
    fix: 'pontoon sync SERVICE says how to go on without it',
  },
  {
    pattern: /replication slot "(?<name>[^"]+)" is active for PID/,
    cause: 'the sending server still has the connection before this one, with the slot $name',
    fix: 'wait: it notices within wal_sender_timeout, and sync goes on by itself',
  },
  {
    pattern: /publication "(?<name>[^"]+)" does not exist/,
    cause: 'the publication $name is gone from the sending side, where changes are read as of then',
    fix: 'pontoon sync makes it anew; where the same words come again, pontoon sync SERVICE --drop --yes, then pontoon copy SERVICE --restart',
  },
  {
    pattern:
      /requested WAL segment \S+ has already been removed|(?:can no longer (?:get changes from|access)|invalidated)[^"]*replication slot|slot .* invalidated/,
    cause:
      'the slot was given up by the sending side: it kept more WAL than max_slot_wal_keep_size',
    fix: 'raise max_slot_wal_keep_size; pontoon sync SERVICE says how to go on without it',
  },
  {
    pattern: /No space left on device|could not extend file|could not write/,
    cause: 'a disk is full',
    fix: 'make room; then pontoon sync',
  },
]

/** Undefined for words that are not known. `howByHand` is said of what people write there themselves. */
export function explain(message: string, howByHand = ''): Explanation | undefined {
  for (const { pattern, cause, fix } of known) {
    const found = pattern.exec(message)
    if (found === null) continue
    const name = found.groups?.['name'] ?? ''
    return {
      cause: cause.replace('$name', () => name),
      fix: fix.replace('$byHand', () => howByHand),
    }
  }
  return undefined
}

/** For a stopped subscription whose words cannot be had. */
export const unknownStop: Explanation = {
  cause: 'somebody switched the subscription off, or an error did (disable_on_error)',
  fix: "its log has the words: look for 'logical replication apply worker'; mend it, then pontoon sync",
}

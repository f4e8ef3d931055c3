/** Words of servers (15 and 18), and what they are taken for. */
import tap from 'tap'
import { explain } from '../../../../src/migration/pg/sync/explain.ts'
import { parseWorkerError } from '../../../../src/migration/pg/sync/server-log.ts'

const cases: readonly (readonly [words: string, cause: RegExp])[] = [
  ['duplicate key value violates unique constraint "item_pkey"', /item_pkey.*somebody wrote there/],
  ['conflict detected on relation "public.item": conflict=insert_exists', /somebody wrote there/],
  [
    'logical replication target relation "public.item" is missing replicated column: "size"',
    /DDL on the sending side only.*"size"/,
  ],
  ['logical replication target relation "public.late" does not exist', /public\.late/],
  [
    'logical replication target relation "public.item" has neither REPLICA IDENTITY index nor PRIMARY KEY column and published relation does not have REPLICA IDENTITY FULL',
    /no key/,
  ],
  ['cannot execute INSERT in a read-only transaction', /the fence binds a trigger/],
  ['permission denied for table item', /may not write table item/],
  ['new row for relation "item" violates check constraint "c"', /a constraint/],
  ['null value in column "must" of relation "item" violates not-null constraint', /a constraint/],
  ['value too long for type character varying(3)', /does not fit the type/],
  [
    'could not connect to the publisher: connection to server at "h" (127.0.0.1), port 1 failed: FATAL:  password authentication failed for user "r"',
    /cannot log in/,
  ],
  ['could not receive data from WAL stream: server closed the connection', /does not reach/],
  [
    'could not start WAL streaming: ERROR:  replication slot "s" does not exist',
    /the slot s is gone/,
  ],
  [
    'could not start WAL streaming: ERROR:  cannot read from logical replication slot "s"\nDETAIL:  This slot has been invalidated',
    /given up/,
  ],
  [
    'could not start WAL streaming: ERROR:  can no longer get changes from replication slot "s"',
    /given up/,
  ],
  [
    'could not connect to the publisher: connection to server at "h" (127.0.0.1), port 1 failed: FATAL:  permission denied for database "shop"',
    /does not let the subscription in/,
  ],
  [
    'could not connect to the publisher: connection to server at "h" (127.0.0.1), port 1 failed: FATAL:  number of requested standby connections exceeds max_wal_senders (currently 2)',
    /has no room/,
  ],
  [
    'could not find free replication state slot for replication origin with ID 2',
    /receiving server has no room/,
  ],
  [
    'could not start WAL streaming: ERROR:  replication slot "s" is active for PID 7',
    /the connection before this one/,
  ],
  [
    'could not receive data from WAL stream: ERROR:  publication "p" does not exist',
    /publication p is gone/,
  ],
  [
    'could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000001 has already been removed',
    /given up/,
  ],
  ['could not extend file "base/1/2": No space left on device', /disk is full/],
]

void tap.test('known words', (t) => {
  for (const [words, cause] of cases) t.match(explain(words)?.cause, cause, words)
  for (const words of ['something else', 'could not receive data from WAL stream: ERROR:  new'])
    t.equal(explain(words), undefined)
  t.end()
})

void tap.test('the last error of a worker in a log', (t) => {
  const log = [
    '2026-01-01 00:00:00.000 UTC [1] ERROR:  duplicate key value violates unique constraint "old"',
    '2026-01-01 00:00:00.000 UTC [1] CONTEXT:  processing remote data for replication origin "pg_1"',
    '2026-01-01 00:00:01.000 UTC [2] ERROR:  duplicate key value violates unique constraint "item_pkey"',
    '2026-01-01 00:00:01.000 UTC [2] DETAIL:  Key (id)=(2) already exists.',
    '2026-01-01 00:00:01.000 UTC [2] CONTEXT:  processing remote data for replication origin "pg_1"',
    '2026-01-01 00:00:02.000 UTC [3] ERROR:  relation "nope" does not exist at character 15',
    '2026-01-01 00:00:02.000 UTC [3] STATEMENT:  SELECT * FROM nope',
  ].join('\n')
  const ours = { oid: 1, slot: 's' }
  const others = `${log}
2026-01-01 00:00:03.000 UTC [4] ERROR:  null value in column "x" of relation "y" violates not-null constraint
2026-01-01 00:00:03.000 UTC [4] CONTEXT:  processing remote data for replication origin "pg_16" during message
2026-01-01 00:00:04.000 UTC [5] ERROR:  could not start WAL streaming: ERROR:  replication slot "another" does not exist`
  t.match(parseWorkerError(others, ours), { message: /item_pkey/ }, 'of no other subscription')
  t.match(parseWorkerError(others, { oid: 16, slot: 's' }), { message: /null value/ })
  t.match(parseWorkerError(others, { oid: 2, slot: 'another' }), { message: /another/ })
  t.match(parseWorkerError(log, ours), { message: /item_pkey/, detail: /^Key \(id\)=\(2\)/ })
  t.equal(parseWorkerError('2026 LOG:  all is well\n', ours), null)
  t.end()
})

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
  ['could not extend file "base/1/2": No space left on device', /disk is full/],
]

void tap.test('known words', (t) => {
  for (const [words, cause] of cases) t.match(explain(words)?.cause, cause, words)
  t.equal(explain('something else'), undefined)
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
  t.match(parseWorkerError(log), { message: /item_pkey/, detail: /^Key \(id\)=\(2\)/ })
  t.equal(parseWorkerError('2026 LOG:  all is well\n'), null)
  t.end()
})

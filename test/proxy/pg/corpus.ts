/**
 * Scripts of raw messages whose answers must be the same bytes through Pontoon as from the server
 * itself. Each step sends some messages and waits for so many ReadyForQuery (or, where none comes,
 * for another type). Neighbour: transparency.test.ts.
 */
import {
  bind,
  closePortal,
  closeStatement,
  copyData,
  copyDone,
  copyFail,
  describeStatement,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { copyScripts, copySetup } from './corpus-copy.ts'
import { errorScripts, errorSetup } from './corpus-errors.ts'
import { batch, simple, step } from './corpus-script.ts'
import type { Script } from './corpus-script.ts'
import { sessionScripts, sessionSetup } from './corpus-session.ts'
import { typesSetup } from './corpus-types.ts'

/** What makes a table refuse any COPY before its first line is read. */
const refusingSetup = `
  CREATE TABLE refusing (id int);
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'refused before the first line'; END $$;
  CREATE TRIGGER refuse BEFORE INSERT ON refusing FOR EACH STATEMENT EXECUTE PROCEDURE refuse()`

/** Calls a function by its number, both arguments and result in text: int4pl is 177. */
const addByFunctionCall = message(
  'F',
  int32(177),
  Buffer.concat([int16(1), int16(0), int16(2)]),
  Buffer.concat([int32(1), Buffer.from('2'), int32(1), Buffer.from('3')]),
  int16(0),
)

/** Objects are made beforehand, so that their numbers are the same for everyone. */
export const corpusSetup = [
  'CREATE TABLE copied (id int PRIMARY KEY, name text)',
  refusingSetup,
  copySetup,
  errorSetup,
  sessionSetup,
  typesSetup,
].join(';')

const copyTable = simple('TRUNCATE copied')

/** Of every kind a little. */
export const basics: readonly Script[] = [
  {
    name: 'simple queries',
    steps: [
      simple('SELECT 1 AS one, NULL::text, repeat($$x$$, 300)'),
      simple('SELECT n FROM generate_series(1, 1000) n'),
      simple('SELECT 1; SELECT 2, 3; SELECT 4'),
      simple('SELECT 1; SELECT 1/0; SELECT 3'),
      simple(''),
      simple(';'),
      simple('SELEC 1'),
      simple("DO $$ BEGIN RAISE NOTICE 'heard'; RAISE WARNING 'too'; END $$"),
    ],
  },
  {
    name: 'transactions',
    steps: [
      simple('BEGIN'),
      simple('SELECT 1'),
      simple('SELECT 1/0'),
      simple('SELECT 2'),
      simple('ROLLBACK'),
      simple('COMMIT'),
      simple('BEGIN; SELECT 1; COMMIT'),
    ],
  },
  {
    name: 'many simple queries in one write',
    steps: [step('ZZZZ', query('SELECT 1'), query('SELECT 1/0'), query(''), query('SELECT 4'))],
  },
  {
    name: 'extended query',
    steps: [
      step('Z', ...batch('SELECT $1::int + 1 AS next', '41')),
      step('Z', ...batch('SELECT $1::text WHERE false', 'x')),
      step('Z', ...batch('')),
      step('Z', ...batch('SET work_mem = 4096')),
      step('Z', ...batch('SELECT 1/$1::int', '0')),
      step('Z', ...batch('SELECT nothing FROM nowhere')),
    ],
  },
  {
    name: 'batches pipelined, an error in the middle',
    steps: [
      step(
        'ZZZ',
        ...batch('SELECT 1'),
        ...batch('SELECT 1/$1::int', '0'),
        ...batch('SELECT $1::text', 'after'),
      ),
      step(
        'Z',
        parse('SELECT 1'),
        parse('broken', 'b'),
        bind(),
        execute(),
        query('SELECT 2'),
        sync(),
      ),
      step('ZZ', parse('SELECT 1/0'), bind(), execute(), sync(), query('SELECT 2')),
    ],
  },
  {
    name: 'an implicit transaction spans a pipeline',
    uses: 'copied',
    steps: [
      simple('TRUNCATE copied'),
      step(
        'Z',
        ...batch('INSERT INTO copied VALUES (1)').slice(0, -1),
        ...batch('INSERT INTO copied VALUES (1/$1::int)', '0').slice(0, -1),
        sync(),
      ),
      simple('SELECT count(*) FROM copied'),
    ],
  },
  {
    name: 'named statements and portals',
    steps: [
      step('Z', parse('SELECT $1::int AS a', 's1'), describeStatement('s1'), sync()),
      step('Z', bind({ statement: 's1', values: ['1'] }), execute(), sync()),
      step('Z', bind({ statement: 's1', values: ['two'] }), execute(), sync()),
      step('Z', parse('SELECT 2', 's1'), sync()),
      step('Z', closeStatement('s1'), closeStatement('nobody'), sync()),
      step('Z', bind({ statement: 's1', values: ['1'] }), execute(), sync()),
      step('Z', parse('SELECT 3', 's1'), bind({ statement: 's1' }), execute(), sync()),
      step('Z', closePortal('s1'), bind({ statement: 's1' }), execute(), sync()),
      step('Z', closeStatement('s1'), sync()),
    ],
  },
  {
    name: 'rows limited, portal suspended',
    steps: [
      simple('BEGIN'),
      step(
        'sss',
        parse('SELECT n FROM generate_series(1, 7) n'),
        bind({ portal: 'p' }),
        execute('p', 2),
        execute('p', 2),
        execute('p', 2),
        flush(),
      ),
      step('Z', execute('p', 2), closePortal('p'), sync()),
      simple('COMMIT'),
      step('Z', parse('SELECT n FROM generate_series(1, 3) n'), bind(), execute('', 1), sync()),
    ],
  },
  {
    name: 'flush without sync',
    steps: [
      step('C', parse('SELECT $1::int'), bind({ values: ['1'] }), execute(), flush()),
      step('C', bind({ values: ['2'] }), execute(), flush()),
      step('Z', sync()),
      step('Z', flush(), sync()),
      step('ZZ', sync(), sync()),
    ],
  },
  {
    name: 'an extended batch ended by a simple query',
    steps: [
      step('Z', parse('SELECT 1'), bind(), execute(), query('SELECT 2')),
      simple('SELECT 3'),
      step('Z', sync()),
    ],
  },
  { name: 'function call', steps: [step('Z', addByFunctionCall), simple('SELECT 1')] },
  {
    name: 'COPY out',
    steps: [
      simple('COPY (SELECT n, repeat($$y$$, 100) FROM generate_series(1, 500) n) TO STDOUT'),
      simple('COPY (SELECT 1/(3-n) FROM generate_series(1, 5) n) TO STDOUT'),
      step('Z', ...batch('COPY (SELECT 1) TO STDOUT')),
    ],
  },
  {
    name: 'COPY in',
    uses: 'copied',
    steps: [
      copyTable,
      step('G', query('COPY copied FROM STDIN')),
      step('Z', copyData('1\tone\n2\tt'), copyData('wo\n'), copyDone()),
      simple('SELECT * FROM copied'),
      step('G', query('COPY copied FROM STDIN')),
      step('Z', copyData('3\tthree\n'), copyFail('changed my mind')),
      step('GZ', query('COPY copied FROM STDIN'), copyData('1\tagain\n'), copyDone()),
      simple('SELECT count(*) FROM copied'),
    ],
  },
  {
    name: 'COPY in, failing early, its data still on the way',
    uses: 'copied',
    steps: [
      copyTable,
      step('G', query('COPY copied FROM STDIN')),
      step('Z', ...Array.from({ length: 50 }, () => copyData('no number\n')), copyDone()),
      simple('SELECT 1'),
      step('Z', copyData('stray'), copyDone(), query('SELECT 2')),
    ],
  },
  {
    name: 'COPY in by the extended protocol',
    uses: 'copied',
    steps: [
      copyTable,
      // A Sync that is sent along is ignored in COPY mode.
      step('G', parse('COPY copied FROM STDIN'), bind(), execute(), sync()),
      step('Z', copyData('1\tone\n'), copyDone(), sync()),
      step('G', parse('COPY copied FROM STDIN'), bind(), execute(), flush()),
      step('Z', copyData('2\ttwo\n'), copyDone(), sync()),
      step('G', parse('COPY copied FROM STDIN'), bind(), execute(), sync()),
      step('Z', copyData('broken\n'), copyDone(), sync()),
      step('G', parse('COPY copied FROM STDIN'), bind(), execute(), sync()),
      step('Z', copyFail('no'), sync()),
      simple('SELECT * FROM copied'),
    ],
  },
  {
    name: 'COPY in, everything in one write',
    uses: 'copied',
    steps: [
      copyTable,
      step(
        'GZ',
        parse('COPY copied FROM STDIN'),
        bind(),
        execute(),
        copyData('1\tone\n'),
        copyDone(),
        sync(),
      ),
      step('GZ', query('COPY copied FROM STDIN'), copyData('2\ttwo\n'), copyDone()),
      simple('SELECT * FROM copied'),
    ],
  },
  {
    name: 'COPY in, refused before the Sync that was sent along is read',
    steps: [
      step('GZ', parse('COPY refusing FROM STDIN'), bind(), execute(), sync()),
      simple('SELECT 1'),
      step('G', query('COPY refusing FROM STDIN')),
      step('Z', copyData('1\n'), copyDone()),
      simple('SELECT 2'),
    ],
  },
]

/** Those for the types are made by corpus-types.ts. */
export const corpus: readonly Script[] = [
  ...basics,
  ...copyScripts,
  ...errorScripts,
  ...sessionScripts,
]

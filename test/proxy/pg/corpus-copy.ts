/**
 * COPY that fails, or is given up, in every phase, in both protocols and directions. Neighbours:
 * corpus.ts (COPY that goes well), corpus-script.ts.
 */
import {
  bind,
  copyData,
  copyDone,
  copyFail,
  describePortal,
  execute,
  flush,
  message,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { batch, simple, simples, step } from './corpus-script.ts'
import type { Script } from './corpus-script.ts'

export const copySetup = `
  CREATE TABLE guarded (id int PRIMARY KEY CHECK (id <> 13), name text NOT NULL);
  CREATE FUNCTION refuse_last() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'refused after the last line'; END $$;
  CREATE TABLE refusing_last (id int);
  CREATE TRIGGER refuse AFTER INSERT ON refusing_last
    FOR EACH STATEMENT EXECUTE PROCEDURE refuse_last();
  CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)`

const copyIn = 'COPY guarded FROM STDIN'
const empty = simple('TRUNCATE guarded')
const begin = step('G', query(copyIn))
const beginExtended = step('G', parse(copyIn), bind(), execute(), sync())
const binaryHeader = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])

/** Lines that fail: what is wrong shows at the line, at its end, or at the end of all. */
const badLines: Readonly<Record<string, readonly string[]>> = {
  'a wrong type': ['one\tx\n'],
  'too few columns': ['1\n'],
  'too many columns': ['1\ta\tb\n'],
  'NULL where none may be': ['1\t\\N\n'],
  'a constraint': ['1\ta\n', '13\tb\n', '2\tc\n'],
  'a duplicate': ['1\ta\n1\tb\n'],
  'a line without end, wrong': ['1\ta\nx'],
  'not UTF-8': ['1\t\\xff\n'],
}

const uses = 'guarded'

const failures: readonly Script[] = Object.entries(badLines).map(([what, lines]) => ({
  name: `COPY in fails by ${what}`,
  uses,
  steps: [
    empty,
    begin,
    step('Z', ...lines.map((line) => copyData(line)), copyDone()),
    beginExtended,
    step('Z', ...lines.map((line) => copyData(line)), copyDone(), sync()),
    simple('BEGIN'),
    begin,
    step('Z', ...lines.map((line) => copyData(line)), copyFail('enough')),
    simple('SELECT 1'),
    simple('ROLLBACK'),
    simple('SELECT * FROM guarded'),
  ],
}))

export const copyScripts: readonly Script[] = [
  ...failures,
  {
    name: 'COPY in fails at the end',
    uses,
    steps: [
      step('G', query('COPY refusing_last FROM STDIN')),
      step('Z', copyData('1\n'), copyDone()),
      step('G', query('COPY deferred FROM STDIN')),
      step('Z', copyData('1\n1\n'), copyDone()),
      step('G', parse('COPY deferred FROM STDIN'), bind(), execute(), sync()),
      step('Z', copyData('1\n1\n'), copyDone(), sync()),
      simple('BEGIN'),
      step('G', query('COPY deferred FROM STDIN')),
      step('Z', copyData('1\n1\n'), copyDone()),
      simple('COMMIT'),
    ],
  },
  {
    name: 'COPY in given up',
    uses,
    steps: [
      empty,
      begin,
      step('Z', copyFail('before the first line')),
      begin,
      step('Z', copyData('1\ta\n2\t'), copyFail('within a line')),
      beginExtended,
      step('Z', copyData('1\ta\n'), copyFail(''), sync()),
      simple('BEGIN'),
      begin,
      step('Z', copyFail('in a transaction')),
      simple('COMMIT'),
      simple('SELECT count(*) FROM guarded'),
    ],
  },
  {
    name: 'COPY in, other messages amid the data',
    uses,
    steps: [
      empty,
      begin,
      // Flush and Sync are ignored while data is read.
      step('Z', copyData('1\ta\n'), flush(), sync(), copyData('2\tb\n'), copyDone()),
      simple('SELECT * FROM guarded'),
    ],
  },
  {
    name: 'COPY in, a query amid the data ends the connection',
    uses,
    ends: true,
    steps: [empty, begin, step('EE', copyData('3\tc\n'), query('SELECT 1'))],
  },
  {
    name: 'COPY in, empty and small pieces',
    uses,
    steps: [
      empty,
      begin,
      step('Z', copyDone()),
      begin,
      step('Z', copyData(''), copyData('4'), copyData('\t'), copyData('d\n'), copyDone()),
      begin,
      step('Z', copyData('5\te\n\\.\n'), copyDone()),
      begin,
      step('Z', copyData('6\tf\n\\.\nwhat follows is not read\n'), copyDone()),
      simple('SELECT * FROM guarded ORDER BY id'),
    ],
  },
  {
    name: 'COPY in and out, CSV and binary',
    uses,
    steps: [
      empty,
      step('G', query('COPY guarded FROM STDIN (FORMAT csv, HEADER, NULL $$-$$)')),
      step('Z', copyData('id,name\n1,"a, ""b""\n"\n'), copyDone()),
      simple('COPY guarded TO STDOUT (FORMAT csv, HEADER, FORCE_QUOTE *)'),
      simple('COPY guarded TO STDOUT (FORMAT binary)'),
      step('G', query('COPY guarded FROM STDIN (FORMAT binary)')),
      step('Z', copyData('no binary header'), copyDone()),
      step('G', query('COPY guarded FROM STDIN (FORMAT binary)')),
      step('Z', copyData(binaryHeader), copyData(Buffer.from('ffff', 'hex')), copyDone()),
      step('G', query('COPY guarded FROM STDIN (FORMAT binary)')),
      step('Z', copyData(binaryHeader), copyData(Buffer.from('0005', 'hex')), copyDone()),
      simple('COPY (SELECT 1 WHERE false) TO STDOUT'),
    ],
  },
  {
    name: 'COPY refused before it begins',
    uses,
    steps: [
      ...simples(
        'COPY nowhere FROM STDIN',
        'COPY guarded (nothing) FROM STDIN',
        'COPY guarded FROM STDIN (FORMAT odd)',
        'COPY (SELECT 1/0) TO STDOUT',
        'COPY (DELETE FROM guarded) TO STDOUT',
      ),
      step('Z', ...batch('COPY nowhere FROM STDIN')),
      step('Z', ...batch('COPY (SELECT 1/0) TO STDOUT')),
      step(
        'ZZ',
        query('COPY nowhere FROM STDIN'),
        copyData('1\ta\n'),
        copyDone(),
        query('SELECT 1'),
      ),
    ],
  },
  {
    name: 'several COPY in one Query',
    uses,
    steps: [
      empty,
      step('G', query(`${copyIn}; SELECT 1; ${copyIn}; COPY guarded TO STDOUT; SELECT 2`)),
      step('G', copyData('1\ta\n'), copyDone()),
      step('Z', copyData('2\tb\n'), copyDone()),
      step('GZ', query(`${copyIn}; ${copyIn}`), copyData('bad\n'), copyDone()),
      simple('SELECT count(*) FROM guarded'),
      simple('COPY guarded TO STDOUT; SELECT 1/0; COPY guarded TO STDOUT'),
      step('G', query(`BEGIN; ${copyIn}; COMMIT`)),
      step('Z', copyData('3\tc\n'), copyDone()),
      step('G', query(`BEGIN; ${copyIn}; COMMIT`)),
      step('Z', copyData('3\tagain\n'), copyDone()),
      simple('ROLLBACK'),
    ],
  },
  {
    name: 'COPY out within batches',
    uses,
    steps: [
      step(
        'Z',
        ...batch('SELECT 1').slice(0, -1),
        parse('COPY (SELECT n FROM generate_series(1, 5) n) TO STDOUT'),
        bind(),
        describePortal(),
        execute(),
        ...batch('SELECT 2'),
      ),
      step(
        'Z',
        parse('COPY (SELECT 1/(3-n) FROM generate_series(1, 5) n) TO STDOUT'),
        bind(),
        execute(),
        ...batch('SELECT 3'),
      ),
      step('Z', parse('COPY (SELECT 1) TO STDOUT', 'c1'), sync()),
      step('Z', bind({ statement: 'c1' }), execute('', 1), sync()),
      step('ZZ', bind({ statement: 'c1' }), execute(), sync(), query('COPY (SELECT 2) TO STDOUT')),
    ],
  },
  {
    name: 'COPY in within batches',
    uses,
    steps: [
      empty,
      step('G', ...batch('SELECT 1').slice(0, -1), parse(copyIn), bind(), execute(), flush()),
      step('Z', copyData('1\ta\n'), copyDone(), ...batch('SELECT 2')),
      step('G', parse(copyIn, 'c2'), bind({ statement: 'c2' }), execute(), flush()),
      step('CZ', copyData('2\tb\n'), copyDone(), flush(), ...batch('SELECT count(*) FROM guarded')),
      step('G', bind({ statement: 'c2' }), execute(), flush()),
      // The rest of the batch is void when its COPY fails.
      step('Z', copyData('2\tb\n'), copyDone(), ...batch('SELECT 4')),
      simple('SELECT count(*) FROM guarded'),
    ],
  },
  {
    name: 'what COPY leaves behind is ignored',
    uses,
    steps: [
      step('Z', copyData('1\n'), query('SELECT 1')),
      step('Z', copyDone(), copyDone(), copyFail('what'), query('SELECT 2')),
      step('Z', copyFail('what'), ...batch('SELECT 3')),
      step('Z', copyDone(), message('H'), sync()),
    ],
  },
]

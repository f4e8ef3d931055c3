/**
 * Errors and notices with every field they can have, and requests that break the protocol.
 * Neighbours: corpus.ts, corpus-script.ts.
 */
import {
  bind,
  closePortal,
  closeStatement,
  copyData,
  copyDone,
  describePortal,
  describeStatement,
  execute,
  flush,
  int16,
  int32,
  message,
  parse,
  query,
  sync,
  terminate,
  text,
} from '../../support/pg-frontend.ts'
import { batch, simple, simples, step } from './corpus-script.ts'
import type { Script } from './corpus-script.ts'

export const errorSetup = `
  CREATE DOMAIN positive AS int CHECK (VALUE > 0);
  CREATE TABLE strict_parent (id int PRIMARY KEY, code text UNIQUE);
  CREATE TABLE strict (
    id int PRIMARY KEY REFERENCES strict_parent DEFERRABLE, name text NOT NULL,
    amount positive, low int CHECK (low < 10));
  CREATE FUNCTION fails_inside(n int) RETURNS int LANGUAGE plpgsql AS $$
    BEGIN RETURN 1 / n; END $$;
  CREATE FUNCTION broken_inside() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN EXECUTE 'SELECT nothing FROM nowhere'; RETURN 1; END $$;
  CREATE FUNCTION says(level text, what text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
      IF level = 'debug' THEN RAISE DEBUG '%', what;
      ELSIF level = 'log' THEN RAISE LOG '%', what;
      ELSIF level = 'info' THEN RAISE INFO '%', what;
      ELSIF level = 'notice' THEN
        RAISE NOTICE '%', what USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = '01234';
      ELSIF level = 'warning' THEN RAISE WARNING '%', what;
      ELSE RAISE EXCEPTION '%', what USING DETAIL = 'd', HINT = 'h', ERRCODE = 'ZZ999',
        COLUMN = 'c', CONSTRAINT = 'k', DATATYPE = 't', TABLE = 'b', SCHEMA = 's';
      END IF;
    END $$`

const levels = ['debug', 'log', 'info', 'notice', 'warning', 'error']

const stateErrors: readonly Script[] = [
  {
    name: 'errors with every field',
    steps: simples(
      'INSERT INTO strict (id) VALUES (1)',
      "INSERT INTO strict (id, name) VALUES (1, 'a')",
      "INSERT INTO strict (id, name, amount) VALUES (1, 'a', -1)",
      "INSERT INTO strict (id, name, low) VALUES (1, 'a', 11)",
      'SELECT fails_inside(0)',
      'SELECT broken_inside()',
      "SELECT says('error', 'by hand')",
      'SELECT 1 AS a FROM strict WHERE nothing = 1',
      "SELECT 'not a number'::int",
      "SELECT '{1,2'::int[]",
      'SELECT * FROM strict, strict',
      "DO $$ BEGIN RAISE EXCEPTION '%', repeat('long ', 20000); END $$",
      `SELECT ${'x'.repeat(100)} FROM nowhere`,
      'CREATE TABLE strict ()',
      'DROP TABLE nowhere',
      'DROP TABLE IF EXISTS nowhere',
      'VACUUM nowhere',
      'SELECT 1; VACUUM strict',
    ),
  },
  {
    name: 'notices of every level',
    steps: [
      ...levels.map((level) => simple(`SELECT says('${level}', 'hello ${level}')`)),
      simple('SET client_min_messages = debug1'),
      ...levels.map((level) => simple(`SELECT says('${level}', 'with debug')`)),
      simple('SET client_min_messages = error'),
      ...levels.map((level) => simple(`SELECT says('${level}', 'only errors')`)),
      simple('RESET client_min_messages'),
      step('Z', ...batch('SELECT says($1, $2)', 'notice', 'amid a batch')),
      simple(`SELECT says('notice', repeat('n', 70000))`),
    ],
  },
  {
    name: 'errors at the end of a transaction',
    steps: [
      ...simples(
        'BEGIN',
        'SET CONSTRAINTS ALL DEFERRED',
        "INSERT INTO strict (id, name) VALUES (77, 'orphan')",
        'COMMIT',
        'SELECT 1',
        'COMMIT',
        'ROLLBACK',
        'BEGIN',
        'BEGIN',
        'PREPARE TRANSACTION $$one$$',
        'ROLLBACK',
        'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE',
        'INSERT INTO strict_parent VALUES (1)',
        'COMMIT AND CHAIN',
        'SHOW transaction_isolation',
        'ROLLBACK AND CHAIN',
        'COMMIT',
        'SET TRANSACTION READ ONLY',
        'SAVEPOINT a',
        'ROLLBACK TO a',
        'COMMIT AND CHAIN',
      ),
    ],
  },
  {
    name: 'savepoints',
    steps: simples(
      'BEGIN',
      'SAVEPOINT a',
      'SELECT 1/0',
      'SELECT 1',
      'SAVEPOINT b',
      'ROLLBACK TO SAVEPOINT a',
      'SELECT 1',
      'RELEASE a',
      'RELEASE a',
      'ROLLBACK TO a',
      'ROLLBACK',
    ),
  },
  {
    name: 'timeouts of the server',
    steps: [
      ...simples('BEGIN', 'SET LOCAL statement_timeout = 150', 'SELECT pg_sleep(5)', 'ROLLBACK'),
      ...simples('SET statement_timeout = 150', 'SELECT pg_sleep(5)', 'RESET statement_timeout'),
      step('Z', ...batch('SELECT set_config($1, $2, false)', 'statement_timeout', '150')),
      step('Z', ...batch('SELECT pg_sleep(5)')),
    ],
  },
]

/** A body of the right length in which something is wrong. */
const malformed: Readonly<Record<string, readonly Buffer[]>> = {
  'a Query without its end': [message('Q', Buffer.from('SELECT 1'))],
  'a Query with bytes behind its end': [message('Q', text('SELECT 1'), text('x'))],
  'an empty Query body': [message('Q')],
  'a Parse without types': [message('P', text('a'), text('SELECT 1')), sync()],
  'a Parse with fewer types than it says': [
    message('P', text(''), text('SELECT 1'), int16(3), int32(23)),
    sync(),
  ],
  'a Bind without counts': [message('B', text(''), text('')), sync()],
  'a Bind with a value longer than the message': [
    parse('SELECT $1::text'),
    message('B', text(''), text(''), int16(0), int16(1), int32(100), Buffer.from('x')),
    sync(),
  ],
  'a Bind with bytes behind its end': [
    parse('SELECT 1'),
    message('B', text(''), text(''), int16(0), int16(0), int16(0), Buffer.from('xx')),
    sync(),
  ],
  'a Describe of an unknown kind': [message('D', Buffer.from('X'), text('')), sync()],
  'a Close of an unknown kind': [message('C', Buffer.from('X'), text('')), sync()],
  'an Execute without a count': [message('E', text('')), sync()],
  'a Sync with a body': [message('S', Buffer.from('x')), sync()],
  'a function call without arguments': [message('F', int32(177), int16(0), int16(0), int16(0))],
  'a function call of an unknown function': [
    message('F', int32(999_999), int16(0), int16(0), int16(0)),
  ],
  'a function call cut short': [message('F', int32(177), int16(5))],
}

const protocolErrors: readonly Script[] = [
  ...Object.entries(malformed).map(([what, send]) => ({
    name: `malformed: ${what}`,
    steps: [step(what === 'a Sync with a body' ? 'ZZ' : 'Z', ...send), simple('SELECT 1')],
  })),
  {
    name: 'names that do not exist, values that do not fit',
    steps: [
      step('Z', bind({ statement: 'nobody' }), sync()),
      step('Z', describeStatement('nobody'), sync()),
      step('Z', describePortal('nobody'), sync()),
      step('Z', execute('nobody'), sync()),
      step('Z', closeStatement('nobody'), closePortal('nobody'), sync()),
      step('Z', parse('SELECT $1::int'), bind(), sync()),
      step('Z', parse('SELECT $1::int'), bind({ values: ['1', '2'] }), sync()),
      step('Z', parse('SELECT $1::int'), bind({ values: ['x'] }), execute(), sync()),
      step('Z', parse('SELECT $1::int'), bind({ values: ['123'], formats: [1] }), sync()),
      step('Z', parse('SELECT $1::int'), bind({ values: ['1'], formats: [2] }), sync()),
      step('Z', parse('SELECT $1::int'), bind({ values: ['1'], formats: [0, 0] }), sync()),
      step('Z', parse('SELECT 1, 2'), bind({ resultFormats: [1, 1, 1] }), execute(), sync()),
      step('Z', parse('SELECT 1, 2'), bind({ resultFormats: [7] }), execute(), sync()),
      step('Z', parse('SELECT $1'), describeStatement(), sync()),
      step('Z', parse('SELECT $1', '', [999_999]), sync()),
      step('Z', parse('SELECT $1 || $2', '', [25]), describeStatement(), sync()),
      step('Z', parse('SELECT 1; SELECT 2'), sync()),
      step('Z', parse('SELECT $9::int'), describeStatement(), sync()),
      step('Z', parse(`SELECT '\xff'`), sync()),
    ],
  },
  {
    name: 'bytes that are no UTF-8',
    steps: [
      step('Z', message('Q', Buffer.from("SELECT '\xff'\0", 'latin1'))),
      step('Z', parse('SELECT $1::text'), bind({ values: [Buffer.from([0xff])] }), sync()),
      step('Z', parse('SELECT $1::text'), bind({ values: [Buffer.from([0x61, 0])] }), sync()),
      simple("SELECT 'ü', U&'\\00e9', chr(1114111), chr(0)"),
    ],
  },
  {
    name: 'after an error everything up to Sync is ignored',
    steps: [
      step('E', parse('SELEC'), flush()),
      step(
        'Z',
        ...batch('SELECT 1').slice(0, -1),
        query('SELECT 2'),
        message('F', int32(177), int16(0), int16(0), int16(0)),
        copyDone(),
        closeStatement('x'),
        flush(),
        sync(),
      ),
      step('E', bind({ statement: 'nobody' })),
      step('ZZ', sync(), sync()),
    ],
  },
]

const farewells: readonly Script[] = [
  { name: 'Terminate', ends: true, steps: [simple('SELECT 1'), step('', terminate())] },
  {
    name: 'Terminate in the write of the last query',
    ends: true,
    steps: [step('Z', query('SELECT 1'), terminate())],
  },
  {
    name: 'Terminate behind a batch without Sync',
    ends: true,
    steps: [step('', ...batch('SELECT 1').slice(0, -1), terminate())],
  },
  {
    name: 'Terminate behind answered requests and a batch without Sync',
    ends: true,
    steps: [
      step(
        'ZZ',
        query('SELECT 1'),
        ...batch('SELECT 2'),
        ...batch('SELECT 3').slice(0, -1),
        terminate(),
      ),
    ],
  },
  {
    name: 'Terminate amid COPY data',
    ends: true,
    steps: [step('G', query('COPY strict FROM STDIN')), step('EE', copyData('1'), terminate())],
  },
  {
    name: 'Terminate in the write of a COPY',
    ends: true,
    steps: [step('GEE', query('COPY strict FROM STDIN'), terminate())],
  },
  {
    name: 'Terminate in a transaction',
    ends: true,
    steps: [simple('BEGIN'), step('', terminate())],
  },
  {
    name: 'a backend that ends itself',
    ends: true,
    steps: [step('E', query('SELECT pg_terminate_backend(pg_backend_pid())'))],
  },
  {
    name: 'a transaction idle for too long',
    ends: true,
    steps: [...simples('BEGIN', 'SET LOCAL idle_in_transaction_session_timeout = 30'), step('E')],
  },
  {
    name: 'an unknown type of message',
    ends: true,
    steps: [simple('SELECT 1'), step('E', message('y'))],
  },
  {
    name: 'a message length that cannot be',
    ends: true,
    steps: [simple('SELECT 1'), step('', Buffer.from('Q\0\0\0\x02SELECT 1\0', 'latin1'))],
  },
]

const refusedLogins: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'an unknown database': { database: 'nowhere' },
  'an unknown role': { user: 'nobody' },
  'an unknown parameter': { no_such_setting: '1' },
  'a value that cannot be': { DateStyle: 'odd' },
  'an encoding that does not exist': { client_encoding: 'odd' },
  'options that cannot be read': { options: '-c' },
  'a parameter that needs a restart': { options: '-c shared_buffers=1MB' },
}

const logins: readonly Script[] = Object.entries(refusedLogins).map(([what, parameters]) => ({
  name: `refused at login: ${what}`,
  parameters,
  ends: true,
  steps: [],
}))

export const errorScripts: readonly Script[] = [
  ...logins,
  ...stateErrors,
  ...protocolErrors,
  ...farewells,
]

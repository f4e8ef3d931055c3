/**
 * Scripts with values of every type that PostgreSQL has built in, and of the kinds one can make:
 * as parameters and as results, in text and in binary. The binary form is asked of the server.
 * Neighbours: corpus.ts, corpus-script.ts.
 */
import {
  bind,
  describePortal,
  describeStatement,
  execute,
  parse,
  sync,
} from '../../support/pg-frontend.ts'
import { rawClient } from '../../support/pontoon.ts'
import { step } from './corpus-script.ts'
import type { Script, ScriptStep } from './corpus-script.ts'

export const typesSetup = `
  CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
  CREATE TYPE pair AS (n int, words text);
  CREATE DOMAIN short_text AS varchar(10) CHECK (VALUE <> 'bad');
  CREATE TYPE text_range AS RANGE (subtype = text)`

/** Values of each type as text. */
const samples: Readonly<Record<string, readonly string[]>> = {
  aclitem: ['=r/postgres'],
  bit: ['1', '0'],
  'bit(9)': ['101010101'],
  bool: ['t', 'f'],
  box: ['(1,2),(-3,-4)'],
  bpchar: ['a'],
  'char(5)': ['ab', ''],
  bytea: ['\\x00ff41', '\\x', 'escape\\\\d'],
  '"char"': ['c', ''],
  cid: ['7'],
  cidr: ['10.0.0.0/8', '2001:db8::/32'],
  circle: ['<(1,2),3>'],
  date: ['2020-02-29', 'infinity', '4713-01-01 BC'],
  float4: ['1.5', 'NaN', '-Infinity', '1e-40'],
  float8: ['0.1', 'NaN', 'Infinity', '-0', '1e308'],
  inet: ['192.168.1.5/24', '::1'],
  int2: ['-32768', '32767'],
  int2vector: ['1 2 3'],
  int4: ['-2147483648', '2147483647'],
  int8: ['-9223372036854775808', '9223372036854775807'],
  interval: ['1 year 2 mons 3 days 04:05:06.789', '-1 day', '1 century'],
  json: ['{"a": [1, null, "ü"]}', 'null'],
  jsonb: ['{"b": 1, "a": {"c": [true]}}', '"text"'],
  jsonpath: ['$.a[*] ? (@ > 1)'],
  line: ['{1,2,3}'],
  lseg: ['[(1,2),(3,4)]'],
  macaddr: ['08:00:2b:01:02:03'],
  macaddr8: ['08:00:2b:01:02:03:04:05'],
  money: ['$1,234.56', '-$0.01'],
  name: ['a_name', 'x'.repeat(63)],
  numeric: [
    '0',
    '123456789012345678901234567890.123456789',
    'NaN',
    'Infinity',
    '-0.00001',
    '1e-100',
  ],
  'numeric(6,2)': ['1234.567'],
  oid: ['0', '4294967295'],
  oidvector: ['1 2'],
  path: ['[(1,2),(3,4)]', '((0,0),(1,1),(2,0))'],
  pg_lsn: ['16/B374D848'],
  pg_snapshot: ['10:20:10,14,15'],
  point: ['(1.5,-2.5)'],
  polygon: ['((0,0),(1,1),(2,0))'],
  refcursor: ['a_cursor'],
  regclass: ['pg_class', '1259'],
  regcollation: ['"C"'],
  regconfig: ['simple'],
  regdictionary: ['simple'],
  regnamespace: ['pg_catalog'],
  regoper: ['pg_catalog.||/'],
  regoperator: ['+(integer,integer)'],
  regproc: ['pg_catalog.now'],
  regprocedure: ['abs(integer)'],
  regrole: ['postgres'],
  regtype: ['integer'],
  text: ['', 'plain', "quotes ' and \\ and \t", 'ünïcödé 漢字 🎉', 'x'.repeat(70_000)],
  tid: ['(42,7)'],
  time: ['04:05:06.789', '24:00:00'],
  'time(0)': ['04:05:06.789'],
  timestamp: ['2020-02-29 12:34:56.789012', 'infinity', '0044-03-15 00:00:00 BC'],
  timestamptz: ['2020-02-29 12:34:56.789012+09', '-infinity'],
  timetz: ['04:05:06+02'],
  tsquery: ["'fat' & ( 'rat' | !'cat':AB )", ''],
  tsvector: ["'a':1A 'fat':2B,4C 'cat':5", ''],
  txid_snapshot: ['10:20:10,14,15'],
  uuid: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  varbit: ['', '1011'],
  'varchar(3)': ['abcdef', 'ü'],
  varchar: ['any'],
  xid: ['3'],
  xid8: ['18446744073709551615'],
  xml: ['<a b="c">d</a>', 'text'],
  int4range: ['[1,5)', 'empty', '(,3]'],
  int8range: ['[1,)'],
  numrange: ['(1.5,2.5]'],
  tsrange: ['["2020-01-01","2021-01-01")'],
  tstzrange: ['["2020-01-01 00:00Z",infinity)'],
  daterange: ['[2020-01-01,2020-12-31]'],
  int4multirange: ['{[1,3),[5,7)}', '{}'],
  int8multirange: ['{[1,3)}'],
  nummultirange: ['{(1.5,2.5]}'],
  tsmultirange: ['{["2020-01-01","2021-01-01")}'],
  tstzmultirange: ['{["2020-01-01 00:00Z",)}'],
  datemultirange: ['{[2020-01-01,2020-12-31]}'],
  'int4[]': ['{1,NULL,3}', '{{1,2},{3,4}}', '[2:3]={5,6}', '{}'],
  'text[]': ['{a,"b c",NULL,"q\\"uote","",ü}'],
  'timestamptz[]': ['{"2020-01-01 00:00Z",infinity}'],
  'numeric[]': ['{1.5,NaN}'],
  'bytea[]': ['{"\\\\x00ff",NULL}'],
  'jsonb[]': ['{"{\\"a\\": 1}"}'],
  'int4range[]': ['{"[1,2)",empty}'],
  mood: ['sad', 'happy', 'furious'],
  'mood[]': ['{sad,ok}'],
  pair: ['(1,"two words")', '(,)'],
  'pair[]': ['{"(1,a)","(2,\\"b c\\")"}'],
  short_text: ['good', 'bad', 'much too long for it'],
  'short_text[]': ['{good}'],
  text_range: ['[a,b)'],
}

/** Types whose values nobody can write: the server makes them, or only keeps them for itself. */
const withoutInput = new Set([
  'gtsvector',
  'pg_brin_bloom_summary',
  'pg_brin_minmax_multi_summary',
  'pg_dependencies',
  'pg_mcv_list',
  'pg_ndistinct',
  'pg_node_tree',
])

const expressions = [
  "ROW(1, 'a', NULL)",
  "ROW(1, ROW(2, ARRAY[ROW(3, 'x')::pair]))",
  'kept FROM (VALUES (1, NULL::text)) AS kept(a, b)',
  'NULL',
  "ARRAY[ROW(1, 'a'), ROW(2, 'b')]",
  "'{}'::pg_catalog.aclitem[]",
  "unnest(ARRAY['a', 'b']), generate_series(1, 3)",
]

const typesEach = 8

/** Also says which built-in types have no sample: none should. */
export async function typeScripts(
  port: number,
): Promise<{ scripts: readonly Script[]; missing: readonly string[] }> {
  const client = await rawClient(port)
  const ask = async (...messages: readonly Buffer[]): Promise<(Buffer | null)[]> => {
    await client.wire.send(...messages)
    const rows = (await client.wire.until('Z')).filter(({ type }) => type === 'D')
    return rows.map(({ body }) => (body.readInt32BE(2) < 0 ? null : body.subarray(6)))
  }
  const names = await ask(parse(builtInTypes), bind(), execute(), sync())
  const known = new Set(Object.keys(samples).map((type) => type.replaceAll('"', '')))
  const missing = names.map(String).filter((name) => !known.has(name) && !withoutInput.has(name))
  const scripts: Script[] = []
  const types = Object.entries(samples)
  for (let start = 0; start < types.length; start += typesEach) {
    const part = types.slice(start, start + typesEach)
    const steps: ScriptStep[] = []
    for (const [type, values] of part) {
      for (const value of values) {
        const text = bind({ values: [value], resultFormats: [1] })
        const [binary] = await ask(parse(`SELECT $1::${type}`), text, execute(), sync())
        steps.push(valueStep(type, value, binary ?? null))
      }
    }
    scripts.push({ name: `types ${part.map(([type]) => type).join(', ')}`, steps })
  }
  client.wire.destroy()
  scripts.push({
    name: 'values of types without a name',
    steps: expressions.flatMap((expression) =>
      [0, 1].map((format) =>
        step(
          'Z',
          parse(`SELECT ${expression}`),
          bind({ resultFormats: [format] }),
          describePortal(),
          execute(),
          sync(),
        ),
      ),
    ),
  })
  return { scripts, missing }
}

const builtInTypes = `
  SELECT typname FROM pg_type
  WHERE typnamespace = 'pg_catalog'::regnamespace AND typtype IN ('b', 'r', 'm')
    AND typcategory <> 'A' ORDER BY typname`

/** In as text and binary, out as text and binary, and NULL. */
function valueStep(type: string, value: string, binary: Buffer | null): ScriptStep {
  return step(
    'Z',
    parse(`SELECT $1::${type}`),
    describeStatement(),
    ...inBothFormats(null, 0),
    ...inBothFormats(value, 0),
    ...(binary === null ? [] : inBothFormats(binary, 1)),
    sync(),
  )
}

const inBothFormats = (value: string | Buffer | null, format: number): Buffer[] =>
  [0, 1].flatMap((resultFormat) => [
    bind({ values: [value], formats: [format], resultFormats: [resultFormat] }),
    describePortal(),
    execute(),
  ])

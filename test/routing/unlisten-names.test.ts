/** The channels that a text leaves, one entry for each UNLISTEN statement. */
import t from 'tap'
import { unlistens } from '../../src/routing/unlisten-names.ts'

const cases: readonly [string, readonly unknown[]][] = [
  ['UNLISTEN a', [{ channel: 'a' }]],
  ['unlisten Abc;', [{ channel: 'abc' }]],
  ['UNLISTEN "Abc"', [{ channel: 'Abc' }]],
  ['UNLISTEN "a""b"', [{ channel: 'a"b' }]],
  ['UNLISTEN *', ['all']],
  ['/* x */ UNLISTEN a; SELECT 1; UNLISTEN\n* -- y', [{ channel: 'a' }, 'all']],
  [`UNLISTEN ${'x'.repeat(80)}`, [{ channel: 'x'.repeat(63) }]],
  [`UNLISTEN "${'ä'.repeat(40)}"`, [{ channel: 'ä'.repeat(31) }]],
  ["SELECT 'UNLISTEN a'; LISTEN unlisten", []],
  ['SELECT unlisten a FROM t', []],
  ['UNLISTEN', []],
  ["UNLISTEN a; SELECT '\\'", []],
]

void t.test('unlistens', (test) => {
  for (const [sql, expected] of cases) test.strictSame(unlistens(sql), expected, sql)
  test.end()
})

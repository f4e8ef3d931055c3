/** Where a text names prepared statements. */
import t from 'tap'
import { preparedNames } from '../../src/routing/prepared-names.ts'

const cases: readonly [string, readonly string[]][] = [
  ['EXECUTE a', ['execute a "a"']],
  ['execute Abc(1, (2))', ['execute abc "Abc"']],
  ['/* ä */ EXECUTE "A ""b"""', ['execute A "b" ""A ""b""""']],
  ['EXPLAIN (ANALYZE, COSTS off) EXECUTE a(1); SELECT 1', ['execute a "a"']],
  ['EXPLAIN ANALYZE VERBOSE EXECUTE a', ['execute a "a"']],
  ['CREATE TABLE t AS EXECUTE a', ['execute a "a"']],
  ['CREATE TRIGGER t AFTER INSERT ON x FOR EACH ROW EXECUTE FUNCTION f()', []],
  ['DEALLOCATE a', ['deallocate a "a"']],
  ['DEALLOCATE PREPARE a; deallocate b', ['deallocate a "a"', 'deallocate b "b"']],
  ['DEALLOCATE prepare', ['deallocate prepare "prepare"']],
  ['DEALLOCATE ALL; DEALLOCATE PREPARE ALL', []],
  ['DEALLOCATE "all"', ['deallocate all ""all""']],
  ['PREPARE a (int) AS SELECT $1', ['prepare a "a"']],
  ["PREPARE TRANSACTION 'x'", []],
  ['PREPARE transaction AS SELECT 1', ['prepare transaction "transaction"']],
  ["SELECT 'EXECUTE a; DEALLOCATE b'", []],
  ['EXECUTE', []],
  ["EXECUTE a('\\')", []],
]

void t.test('preparedNames', (test) => {
  for (const [sql, expected] of cases) {
    const bytes = Buffer.from(sql)
    const found = preparedNames(sql).map(
      ({ use, name, start, end }) => `${use} ${name} "${bytes.toString('utf8', start, end)}"`,
    )
    test.strictSame(found, expected, sql)
  }
  test.end()
})

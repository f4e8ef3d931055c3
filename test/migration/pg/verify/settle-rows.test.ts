/** When rows that seemed to differ are called equal or different, look by look. */
import t from 'tap'
import { keyId, type RowState } from '../../../../src/migration/pg/verify/row-digest.ts'
import {
  roundsMax,
  settleRows,
  type RowLooks,
} from '../../../../src/migration/pg/verify/settle-rows.ts'

const key = ['1']
const absent = null

/** Content and version of the row; null: it is not there. */
type Look = readonly [sum: number, version: string] | null

/** What each look sees; the last one stays. */
function looks(primary: readonly Look[], other: readonly Look[]): RowLooks & { count: number } {
  const seen = { primary: 0, other: 0 }
  const state = (look: Look | undefined): ReadonlyMap<string, RowState> =>
    new Map(
      look === null || look === undefined
        ? []
        : [[keyId(key), { key, rows: 1, sum: BigInt(look[0]), version: look[1] }]],
    )
  return {
    count: 0,
    primary: (keys) =>
      Promise.resolve(
        keys.length === 0 ? new Map() : state(primary[seen.primary++] ?? primary.at(-1)),
      ),
    other(keys) {
      this.count += 1
      return Promise.resolve(
        keys.length === 0 ? new Map() : state(other[seen.other++] ?? other.at(-1)),
      )
    },
    caughtUp: null,
    signal: undefined,
  }
}

const old: Look = [1, 'a']
const now: Look = [2, 'b']

void t.test('applied, but not visible at the first look: equal', async (test) => {
  const { differing, unsettled } = await settleRows(looks([now], [old, now]), [key])
  test.strictSame([differing, unsettled], [[], []])
})

void t.test('another content at two looks, which both stood still: different', async (test) => {
  const seen = looks([now], [old])
  const { differing } = await settleRows(seen, [key])
  test.equal(differing.length, 1)
  test.match(differing[0], { key, primary: { sum: 2n }, other: { sum: 1n } })
  test.equal(seen.count, 2)
})

void t.test('a row that only one side has', async (test) => {
  const { differing } = await settleRows(looks([absent], [old]), [key])
  test.match(differing, [{ primary: undefined, other: { sum: 1n } }])
})

void t.test('changed on the primary side between the two looks: looked at anew', async (test) => {
  // Before and after each look at the other side.
  const primary = [now, now, [3, 'c'], [3, 'c'], [3, 'c']] as const
  const { differing } = await settleRows(looks(primary, [old, old, [3, 'x']]), [key])
  test.strictSame(differing, [])
})

void t.test('the same content again in a new version is a change', async (test) => {
  const primary = [now, [2, 'c'], [2, 'c'], [2, 'd'], [2, 'd']] as const
  const { differing } = await settleRows(looks(primary, [old, old, now]), [key])
  test.strictSame(differing, [])
})

void t.test('there and back between two looks, in a table without versions', async (test) => {
  const one: Look = [2, '']
  const primary: readonly Look[] = [one, one, one, [3, ''], one]
  const { differing } = await settleRows(looks(primary, [old, old, old, one]), [key])
  test.strictSame(differing, [])
})

void t.test('seen with the content of before on its way to a newer one: equal', async (test) => {
  const { differing } = await settleRows(looks([now, [3, 'c']], [now]), [key])
  test.strictSame(differing, [])
})

void t.test('one that changes at every look is left unsettled', async (test) => {
  const primary = Array.from({ length: 2 * roundsMax }, (_, at): Look => [at + 10, `${at}`])
  const { differing, unsettled } = await settleRows(looks(primary, [old]), [key])
  test.strictSame([differing, unsettled], [[], [key]])
})

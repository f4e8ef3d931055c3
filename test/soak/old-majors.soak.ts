/**
 * Whole migrations from and to old majors, one after the other, with an application that writes
 * without a break. PONTOON_SOAK_MAJORS names the pairs (see below), as `10-15 14-18`;
 * 11 and 12 have to be installed first, as package.json has 10 (npm install --no-save).
 */
import tap from 'tap'
import { majorOf } from '../support/postgres-binaries.ts'
import { migrateThereAndBack } from '../support/there-and-back.ts'

const defaultPairs = '10-13 10-15 10-18 13-13 13-15 13-18 14-14 14-18'
const pairs = (process.env['PONTOON_SOAK_MAJORS'] ?? defaultPairs).split(' ')

tap.setTimeout(3_600_000)

for (const pair of pairs) {
  const [source, target] = pair.split('-').map(majorOf)
  if (source === undefined || target === undefined) throw new Error(`no pair: ${pair}`)
  await tap.test(`${source} to ${target}`, (t) => migrateThereAndBack(t, { source, target }, true))
}

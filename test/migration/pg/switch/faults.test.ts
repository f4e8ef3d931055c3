/**
 * The sidecar is killed before each of the first steps of a switch; faults-late.test.ts has the
 * others, switch-faults.soak.ts everything else that can break.
 */
import tap from 'tap'
import { stepNames } from '../../../../src/migration/pg/switch/model.ts'
import { finishesKilled } from '../../../support/switch-killed.ts'

tap.setTimeout(280_000)

await tap.test('a switch whose process is killed is finished by the next one', (t) =>
  finishesKilled(t, stepNames.slice(0, stepNames.indexOf('applied'))),
)

/** As faults.test.ts, from the step on with which the new side has everything. */
import tap from 'tap'
import { stepNames } from '../../../../src/migration/pg/switch/model.ts'
import { finishesKilled } from '../../../support/switch-killed.ts'

tap.setTimeout(280_000)

await tap.test('a switch whose process is killed late is finished by the next one', (t) =>
  finishesKilled(t, stepNames.slice(stepNames.indexOf('applied'))),
)

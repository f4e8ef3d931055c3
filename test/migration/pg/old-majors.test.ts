/** A whole migration from the oldest source there can be; other pairs: test/soak/old-majors.soak.ts. */
import tap from 'tap'
import { migrateThereAndBack } from '../../support/there-and-back.ts'

tap.setTimeout(170_000)

await tap.test('10 to 15, back, and there again', (t) =>
  migrateThereAndBack(t, { source: 10, target: 15 }, false),
)

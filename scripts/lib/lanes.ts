/**
 * Which test file is run next. The long ones take about a quarter of a whole run: one lane works them
 * off, so that they neither stand in each other's way nor are waited for at the end. Neighbour:
 * run-files.ts.
 */

/** Longest first. */
export const longFiles: readonly string[] = [
  'test/packaging/artefacts.test.ts',
  'test/demo.test.ts',
  'test/migration/pg/switch/two-services.test.ts',
  'test/migration/pg/switch/faults-late.test.ts',
  'test/migration/pg/copy/ownership.test.ts',
  'test/migration/pg/switch/forced-hindered.test.ts',
  'test/migration/pg/switch/forced-waits.test.ts',
  'test/migration/pg/verify/live.test.ts',
  'test/migration/pg/copy/copy.test.ts',
  'test/migration/pg/switch/forced-in-place.test.ts',
  'test/migration/pg/old-majors.test.ts',
  'test/migration/pg/switch/faults.test.ts',
  'test/migration/pg/switch/wreck.test.ts',
  'test/migration/pg/switch/lost-slot.test.ts',
  'test/deploy/migrator-job.test.ts',
]

/** Lane 0 begins with the long ones, every other with the short ones; then each helps out. */
export function lanesOf(files: readonly string[]): (lane: number) => string | undefined {
  const long = longFiles.filter((file) => files.includes(file))
  const short = files.filter((file) => !longFiles.includes(file))
  return (lane) => (lane === 0 ? (long.shift() ?? short.shift()) : (short.shift() ?? long.shift()))
}

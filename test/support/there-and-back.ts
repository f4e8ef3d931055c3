/**
 * One whole migration (whole-migration.ts) with its verdict: schema, copy, sync, verify, then
 * cutovers and rollbacks in turn; no client meets an error, every acknowledged record is there
 * exactly once, and at the end both sides are equal. `isThorough`: every command, some twice.
 */
import type { Test } from 'tap'
import type { PostgresMajor } from './postgres.ts'
import { runSwitch } from './switch-operation.ts'
import { accountsCount, balanceEach, WholeMigration } from './whole-migration.ts'
import { until } from './until.ts'

export async function migrateThereAndBack(
  t: Test,
  majors: { readonly source: PostgresMajor; readonly target: PostgresMajor },
  isThorough: boolean,
): Promise<void> {
  const migration = await WholeMigration.start(majors)
  t.teardown(() => migration.stop())
  const clients = migration.startClients()
  const goOn = async (): Promise<void> => {
    const goal = clients.acknowledged + 20
    await until(() => clients.acknowledged >= goal, 'writes go on', 30_000)
  }
  const succeed = async (name: string, ...args: string[]): Promise<void> => {
    const beganMs = performance.now()
    const { exit, out, err } = await migration.run(name, ...args)
    const tookMs = Math.round(performance.now() - beganMs)
    t.equal(exit, 0, `${name} ${args.join(' ')} (${tookMs} ms)`)
    if (exit !== 0) throw new Error(`${name}: ${out}${err}`)
  }
  await goOn()
  await succeed('schema')
  await migration.setPassword()
  if (isThorough) await succeed('schema')
  await succeed('copy')
  await succeed('schema', '--post-data')
  if (isThorough) await succeed('sync')
  if (isThorough) await succeed('verify')
  for (const [count, kind] of (['cutover', 'rollback', 'cutover'] as const).entries()) {
    if (majors.source < 11 && count < 2) await refusesAfterTruncate(t, migration, kind)
    const done = await runSwitch(migration.adminUrl, kind)
    t.equal(done.state, 'done', `${kind}: ${done.report?.reason ?? ''}`)
    if (done.state !== 'done') break
    t.comment(`${kind}: paused ${Math.round(done.report?.pauseMs ?? 0)} ms`)
    await goOn()
  }
  const report = await clients.stop(migration.target.url('shop'))
  t.match(report, { lost: [], duplicated: [], unexpected: [] })
  t.equal(report.balance, accountsCount * balanceEach)
  t.same(clients.errors, [], 'no client met an error')
  await succeed('verify')
}

/** PostgreSQL 10 carries none over, in either direction. */
async function refusesAfterTruncate(
  t: Test,
  migration: WholeMigration,
  kind: 'cutover' | 'rollback',
): Promise<void> {
  const { source, target } = migration
  const [primary, other] = kind === 'cutover' ? [source, target] : [target, source]
  await primary.query('TRUNCATE notes', 'shop')
  const refused = await runSwitch(migration.adminUrl, kind)
  t.match(
    [refused.state, refused.report?.reason],
    ['refused', /public\.notes.*pontoon verify orders/],
    `${kind} after TRUNCATE`,
  )
  t.equal((await migration.run('verify')).exit, 1, 'verify finds the rows')
  await other.query('BEGIN READ WRITE; TRUNCATE notes; COMMIT', 'shop')
  t.equal((await migration.run('verify')).exit, 0, 'verify proves that they are gone')
  await primary.query('INSERT INTO notes SELECT generate_series(1, 5)', 'shop')
}

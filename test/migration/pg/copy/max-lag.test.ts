/** `pontoon copy --max-lag` with a real standby of the source that falls behind. */
import { Client } from 'pg'
import tap from 'tap'
import { CopyCommand, type RunningCopy } from '../../../support/copy-command.ts'
import { startPair } from '../../../support/migration-pair.ts'
import { startStandby } from '../../../support/postgres-standby.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const pair = await startPair({ source: 15, target: 15 })
tap.teardown(() => pair.stop())
const standby = await startStandby(pair.source, 'reporting')
tap.teardown(() => standby.stop())

/** WAL for the standby to fall behind with, as an application writes it. */
const writer = new Client({ connectionString: pair.source.url() })
await writer.connect()
let written: Promise<unknown> = Promise.resolve()
const writing = setInterval(() => {
  written = writer.query("SELECT pg_logical_emit_message(false, '', '')")
}, 100)
tap.teardown(async () => {
  clearInterval(writing)
  await written
  await writer.end()
})

const db = await pair.database('orders', { schema: 'CREATE TABLE doc (id int, body text)' })
await db.query(
  'source',
  `SET ROLE app; ALTER TABLE doc ALTER body SET STORAGE PLAIN;
   INSERT INTO doc SELECT g, repeat(md5(g::text), 60) FROM generate_series(1, 16000) g;
   ALTER TABLE doc ADD PRIMARY KEY (id)`,
)

const said = (copy: RunningCopy, words: RegExp): Promise<void> =>
  until(() => words.test(copy.err()), `it says ${String(words)}`, 30_000)

await tap.test('who may not see the standbys is told so', async (t) => {
  await pair.source.query('ALTER ROLE pontoon_control NOSUPERUSER')
  await pair.source.query('REVOKE pg_monitor FROM pontoon_control')
  t.teardown(() => pair.source.query('ALTER ROLE pontoon_control SUPERUSER'))
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())
  const end = await command.run('--max-lag', '1s')
  t.equal(end.exit, 3, end.err)
  t.match(end.err, /may not see how far .* GRANT pg_monitor TO pontoon_control/)
})

await tap.test('a copy slows down while a standby is behind, says why, and goes on', async (t) => {
  await standby.query('SELECT pg_wal_replay_pause()')
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())
  // A quick machine would have read all of it before the brake takes hold.
  const limits = ['--max-lag', '500ms', '--rate', '8MB/s']
  const copy = await command.start(...limits, '--chunk-size', '300k', '--json')
  await said(copy, /The standby reporting is [\d.]+ s behind, more than --max-lag/)
  await said(copy, /"note":"at most 1\.0 MB\/s: standby reporting is [\d.]+ s behind"/)
  const read = (): number =>
    Number([...copy.err().matchAll(/"done":(\d+),"total":\d{8}/g)].at(-1)?.[1] ?? 0)
  /** Just when it says how far it is. */
  const next = async (): Promise<[atMs: number, bytes: number]> => {
    const before = read()
    await until(() => read() > before, 'it reads on')
    return [performance.now(), read()]
  }
  const [beganMs, before] = await next()
  const watching = "SELECT pid FROM pg_stat_activity WHERE application_name = 'pontoon copy: lag'"
  const [lost] = await db.query('source', watching)
  await db.query('source', `SELECT pg_terminate_backend(${String(lost?.['pid'])})`)
  await until(
    async () => {
      const [found] = await db.query('source', watching)
      return found !== undefined && found['pid'] !== lost?.['pid']
    },
    'a lost session is made again, and the copy goes on meanwhile',
    10_000,
  )
  await new Promise((resolve) => setTimeout(resolve, 1_000))
  const [endMs, after] = await next()
  const perSecond = ((after - before) * 1_000) / (endMs - beganMs)
  t.ok(perSecond < 2_000_000, `it reads ${Math.round(perSecond)} bytes a second`)

  await standby.query('SELECT pg_wal_replay_resume()')
  await said(copy, /The standby reporting has caught up: the copy speeds up again/)
  // It hangs: nothing of it tells so, since it says nothing at all.
  standby.pause()
  await said(copy, /(The standby reporting is [\d.]+ s behind[^]*){2}/)
  await standby.kill9()
  await said(copy, /The standby reporting follows the source no more/)
  const end = await copy.ended
  t.equal(end.exit, 0, end.err)
  t.match(await db.query('target', 'SELECT count(*)::int FROM doc'), [{ count: 16_000 }])
})

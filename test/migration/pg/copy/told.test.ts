/** What a running copy is told: to pause, to go on, to stop, to be given up. */
import { setTimeout as sleep } from 'node:timers/promises'
import tap from 'tap'
import { signalAll } from '../../../support/child-processes.ts'
import { bankRows, bankSchema } from '../../../support/copy-bank.ts'
import { CopyCommand, hasChunks } from '../../../support/copy-command.ts'
import { startPair } from '../../../support/migration-pair.ts'
import { until } from '../../../support/until.ts'

tap.setTimeout(280_000)

const pair = await startPair({ source: 15, target: 15 })
tap.teardown(() => pair.stop())

await tap.test('paused, told to go on, stopped with Ctrl-C, given up', async (t) => {
  const db = await pair.database('told', { schema: bankSchema })
  await db.query('source', bankRows(30_000))
  const command = new CopyCommand(db.context)
  t.teardown(() => command.remove())
  t.equal((await command.run('--pause')).exit, 1, 'there is nothing to pause')
  const bytes = async (): Promise<number> => {
    const [row] = await db.query('target', 'SELECT sum(bytes)::int AS sum FROM pontoon.copy_chunk')
    return Number(row?.['sum'])
  }
  const slow = ['--rate', '200kB/s', '--chunk-size', '100k', '--json']

  const beganMs = performance.now()
  const first = await command.start(...slow)
  await until(() => hasChunks(db, first), 'chunks are there', 60_000)
  t.equal((await command.run('--pause')).exit, 0)
  await until(() => first.err().includes('"note":"paused"'), 'it says that it is paused')
  // A chunk that had been read by then may still be on its way.
  await until(async () => {
    const before = await bytes()
    await sleep(300)
    return (await bytes()) === before
  }, 'nothing is under way')
  const held = await bytes()
  t.ok(held < 200_000 * ((performance.now() - beganMs) / 1_000), 'the rate is kept')
  await sleep(1_000)
  t.equal(await bytes(), held, 'nothing comes while it is paused')
  t.equal((await command.run('--resume')).exit, 0)
  await until(async () => (await bytes()) > held, 'it goes on', 20_000)

  await command.run('--pause')
  signalAll([first.child.pid], 'SIGINT')
  const stopped = await first.ended
  t.equal(stopped.exit, 4)
  t.match(stopped.out, /was interrupted\. Run it again to go on, or with --abort/)
  const kept = await bytes()
  const second = await command.start(...slow)
  await until(async () => (await bytes()) > kept, 'an old order to pause is forgotten', 20_000)
  t.match(second.err(), 'Going on with the copy that was stopped')

  t.equal((await command.run('--abort')).exit, 0)
  const over = await second.ended
  t.equal(over.exit, 4)
  t.match(over.out, 'The copy of told is given up; its slot is dropped.')
  const slots = "SELECT FROM pg_replication_slots WHERE slot_name ~ 'told'"
  t.same(await db.query('source', slots), [])
  t.same(await db.query('source', 'SELECT FROM pg_publication'), [])
  const keeper = "SELECT FROM pg_stat_activity WHERE datname = 'told' AND application_name ~ 'copy'"
  await until(async () => (await db.query('source', keeper)).length === 0, 'nobody is left')
  t.equal((await command.run('--abort')).exit, 1, 'it is over')
})

/** What `pontoon sync --drop` says where one of the servers, or both, cannot be reached. */
import tap from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'

tap.setTimeout(280_000)

const noDrop = `CREATE FUNCTION no_drop() RETURNS event_trigger LANGUAGE plpgsql
    AS $$BEGIN RAISE EXCEPTION 'not today'; END$$;
  CREATE EVENT TRIGGER no_drop ON ddl_command_start WHEN TAG IN ('DROP PUBLICATION')
    EXECUTE FUNCTION no_drop()`

await tap.test('sync --drop without a server, 17 and 18', async (whole) => {
  const operated = await OperatedPair.start(whole, { source: 17, target: 18 })
  const { source, target } = operated.pair
  const drop = async (): Promise<string> => {
    const { exit, err } = await operated.run('sync', '--drop', '--yes')
    whole.equal(exit, 1)
    whole.match(err, /Nothing was dropped/)
    return err
  }

  await whole.test('the target, before a cutover', async (t) => {
    await target.shutdown()
    const said = await drop()
    t.match(said, /cannot connect to the target \(127\.0\.0\.1:\d+\)/)
    t.match(said, /Bring the target back/)
    const [, sql = ''] = /run on the source: (SELECT .*?;)/.exec(said) ?? []
    t.match(await operated.slotsOf('source'), ['pontoon_orders_forward'])
    await operated.onSide('source', sql)
    t.same(await operated.slotsOf('source'), [], 'the source keeps no WAL any more')
    await target.restart()
    t.match(await operated.run('sync'), {
      exit: 3,
      out: /sync SERVICE --drop --yes, then pontoon copy/,
    })
    await operated.onSide('source', noDrop)
    const half = await operated.run('sync', '--drop', '--yes')
    t.equal(half.exit, 1)
    t.match(half.err, /Done before that: drop the subscription pontoon_orders_forward\./)
    t.match(
      half.err,
      /Not done: drop the publication pontoon_orders_forward\. Run the same command/,
    )
    await operated.onSide('source', 'DROP EVENT TRIGGER no_drop')
    t.match(await operated.run('sync', '--drop', '--yes'), { exit: 0 })
    t.match(await operated.copy('--restart'), { stdout: /follows the source/ })
  })

  await whole.test('the source, before a cutover', async (t) => {
    await source.shutdown()
    const said = await drop()
    t.match(said, /cannot connect to the source/)
    t.match(said, /The source takes the writes.*cutover orders --primary-lost/)
    await target.shutdown()
    t.match(await drop(), /Nor can the target/)
    await source.restart()
    await target.restart()
  })

  await whole.test('after one', async (t) => {
    t.match(await operated.patiently('cutover'), { exit: 0 })
    await source.shutdown()
    t.match(await drop(), /keeps WAL for the source.*pontoon sync orders --drop --no-rollback/)
    await source.restart()
    await target.shutdown()
    t.match(await drop(), /The target takes the writes.*rollback orders --primary-lost/)
    await target.restart()
  })
})

/** The end of a switch is written, or found to be: nobody waits for what is there. */
import tap from 'tap'
import { forgetSwitch } from '../../../../src/migration/pg/switch/carry-out.ts'
import { silentLog } from '../../../../src/shared/log.ts'
import { FileStore } from '../../../../src/store/file-store.ts'
import { startedRecord } from '../../../../src/store/switch-record.ts'

tap.setTimeout(20_000)

await tap.test('the end of a switch is written once', async (t) => {
  const store = await FileStore.open(t.testdir({}))
  t.teardown(() => store.close())
  const off = { reads: 0, mirror: 0, dualWrite: 0 }
  await store.ensure('orders', { epoch: 1, phase: 'self-hosted', primary: 'source', ...off })
  const request = { id: 'one', kind: 'cutover', actor: 'test' } as const
  await store.startSwitch('orders', startedRecord(request, 1, 0))
  const stopping = new AbortController()
  t.teardown(() => stopping.abort())
  const context = { store, service: 'orders', log: silentLog, stopping: stopping.signal }
  await forgetSwitch(context, 'one')
  t.equal(store.switchOf('orders'), undefined)
  // As where a write fails after its rename: the record is gone, and yet it is to be written.
  await forgetSwitch(context, 'one')
})

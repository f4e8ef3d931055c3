/** What sessions of Pontoon's own do not take over from what a server and its roles have set. */
import tap from 'tap'
import { startPair } from '../../support/migration-pair.ts'

await tap.test('neither JIT nor timeouts hold in sessions of ours', async (t) => {
  const settings = { jit: 'on', jit_above_cost: '0', idle_session_timeout: '1h' }
  const pair = await startPair({
    source: 15,
    target: 18,
    settings: { ...settings, lock_timeout: '1h' },
    targetSettings: { ...settings, transaction_timeout: '1h' },
  })
  t.teardown(() => pair.stop())
  const db = await pair.database('shop', { schema: '' })
  for (const side of ['source', 'target'] as const) {
    for (const purpose of ['control', 'replication', 'read'] as const) {
      const client = await db.connect(side, purpose)
      t.teardown(() => client.close())
      const inForce = `SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name)
        FROM pg_settings WHERE name IN ('jit', 'idle_session_timeout', 'lock_timeout',
          'statement_timeout', 'transaction_timeout')`
      const expected = 'idle_session_timeout 0, jit off, lock_timeout 0, statement_timeout 0'
      const later = side === 'target' ? ', transaction_timeout 0' : ''
      t.equal(await client.value(inForce), expected + later, `${side}, ${purpose}`)
    }
  }
})

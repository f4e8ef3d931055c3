/** What sessions of Pontoon's own do not take over from what a server and its roles have set. */
import tap from 'tap'
import { connectAs } from '../../../src/migration/pg/side-login.ts'
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

await tap.test('a refused login says what is missing: the role, or its entry', async (t) => {
  const pair = await startPair({ source: 15, target: 15 })
  t.teardown(() => pair.stop())
  const wrong = { user: 'nobody', password: 'wrong' }
  const asked = { side: 'source', purpose: 'control', task: 'test' } as const
  const own = await pair.database('own', { schema: '', source: { controlUser: wrong } })
  await t.rejects(connectAs(own.context, asked), {
    code: 'SERVER_AUTH_FAILED',
    message: /nobody.*pontoon schema makes it on the source.*--source-admin/s,
  })
  const none = { controlUser: undefined, replicationUser: undefined, readUser: undefined, ...wrong }
  const borrowed = await pair.database('borrowed', { schema: '', source: none })
  await t.rejects(connectAs(borrowed.context, asked), {
    code: 'SERVER_AUTH_FAILED',
    message: /source has no controlUser.*so nobody was tried: set controlUser/s,
  })
})

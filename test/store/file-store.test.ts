import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Route } from '../../src/routing/route.ts'
import { FileStore } from '../../src/store/file-store.ts'
import type { SwitchRecord } from '../../src/store/switch-record.ts'

const first: Route = {
  epoch: 1,
  phase: 'self-hosted',
  primary: 'source',
  reads: 0,
  mirror: 0,
  dualWrite: 0,
}

function after(route: Route, reads: number): Route {
  return { ...route, epoch: route.epoch + 1, reads }
}

void t.test('keeps routes across a restart', async (test) => {
  const folder = join(test.testdir({}), 'deep/state')
  const store = await FileStore.open(folder)
  test.equal(store.get('orders'), undefined)
  test.strictSame(await store.ensure('orders', first), first)
  test.strictSame(await store.ensure('orders', after(first, 9)), first, 'the stored one counts')
  const second = after(first, 50)
  test.strictSame(await store.compareAndSet('orders', 1, second), second)
  await store.ensure('stock', first)
  await store.close()

  const again = await FileStore.open(folder)
  test.strictSame(again.get('orders'), second)
  test.strictSame(again.get('stock'), first)
  test.ok(Object.isFrozen(again.get('orders')))
  await again.close()
  test.equal(statSync(join(folder, 'state.json')).mode & 0o777, 0o600)
  test.equal(statSync(folder).mode & 0o777, 0o700)
})

void t.test('of two changes based on one epoch, one loses', async (test) => {
  const store = await FileStore.open(test.testdir({}))
  await store.ensure('orders', first)
  const results = await Promise.allSettled([
    store.compareAndSet('orders', 1, after(first, 10)),
    store.compareAndSet('orders', 1, after(first, 20)),
  ])
  test.match(results, [
    { status: 'fulfilled', value: { reads: 10 } },
    { status: 'rejected', reason: { code: 'EPOCH_STALE', message: /at epoch 2, .* based on 1/ } },
  ])
  test.equal(store.get('orders')?.reads, 10)
  await test.rejects(store.compareAndSet('none', 1, first), { code: 'NOT_FOUND' })
  await test.rejects(
    store.compareAndSet('orders', 2, { ...first, epoch: 9 }),
    /exactly one new epoch/,
  )
  await store.close()
})

void t.test('listeners hear of a change once it is on disk', async (test) => {
  const folder = test.testdir({})
  const store = await FileStore.open(folder)
  const heard: string[] = []
  const stop = store.watch((service, route) => {
    const stored = readFileSync(join(folder, 'state.json'), 'utf8')
    heard.push(`${service} ${route.epoch} ${stored.includes(`"epoch": ${route.epoch}`)}`)
  })
  await store.ensure('orders', first)
  await store.ensure('orders', first)
  await store.compareAndSet('orders', 1, after(first, 10))
  stop()
  await store.compareAndSet('orders', 2, after(after(first, 10), 20))
  test.strictSame(heard, ['orders 1 true', 'orders 2 true'])
  await store.close()
})

void t.test('writes only when something changed', async (test) => {
  const folder = test.testdir({})
  const store = await FileStore.open(folder)
  const route = await store.ensure('orders', first)
  const before = statSync(join(folder, 'state.json'), { bigint: true })
  await store.ensure('orders', first)
  test.equal(
    await store.compareAndSet('orders', 1, store.get('orders') ?? route),
    store.get('orders'),
  )
  const now = statSync(join(folder, 'state.json'), { bigint: true })
  test.equal(now.ino, before.ino, 'the file was not replaced')
  await store.close()
})

void t.test('migrates a version 0 file forward', async (test) => {
  const folder = test.testdir({})
  const path = join(folder, 'state.json')
  copyFileSync(new URL('fixtures/state-0.json', import.meta.url), path)
  const store = await FileStore.open(folder)
  const route = store.get('orders')
  test.strictSame(route, { ...first, epoch: 12, phase: 'canary', reads: 10 })
  test.match(readFileSync(path, 'utf8'), '"version": 0', 'opening alone does not write')
  if (route !== undefined) await store.compareAndSet('orders', 12, after(route, 20))
  await store.close()
  test.match(JSON.parse(readFileSync(path, 'utf8')), { version: 3, services: { orders: {} } })
})

void t.test('refuses a file of a newer version and leaves it alone', async (test) => {
  const text = '{"version": 4, "services": {}}'
  const folder = test.testdir({ 'state.json': text })
  await test.rejects(FileStore.open(folder), {
    code: 'STATE_TOO_NEW',
    message: /state\.json has version 4/,
  })
  test.equal(readFileSync(join(folder, 'state.json'), 'utf8'), text)
  await test.rejects(FileStore.open(folder), { code: 'STATE_TOO_NEW' }, 'the lock was given back')
})

const damaged: readonly (readonly [name: string, text: string])[] = [
  ['empty', ''],
  ['cut off', '{"version": 1, "services": {"orders": {"epo'],
  ['no object', '[]'],
  ['no version', '{"services": {}}'],
  ['odd version', '{"version": -1, "services": {}}'],
  ['no services', '{"version": 1}'],
  ['a route without primary', '{"version":1,"services":{"orders":{"epoch":1,"phase":"canary"}}}'],
  ['an unknown value', JSON.stringify({ version: 1, services: { a: { ...first, gate: 'x' } } })],
  ['version 0 with a broken route', '{"version":0,"routes":{"orders":5}}'],
  ['version 0 without routes', '{"version":0}'],
]

for (const [name, text] of damaged) {
  void t.test(`never resets a damaged file: ${name}`, async (test) => {
    const folder = test.testdir({ 'state.json': text })
    await test.rejects(FileStore.open(folder), {
      code: 'STATE_UNREADABLE',
      message: /state\.json is damaged .* restore it from a backup/,
    })
    test.equal(readFileSync(join(folder, 'state.json'), 'utf8'), text)
  })
}

void t.test('a temporary file of a crash before the rename counts for nothing', async (test) => {
  const folder = test.testdir({ 'state.json.tmp': '{"version": 1, "serv' })
  const store = await FileStore.open(folder)
  test.equal(store.get('orders'), undefined)
  await store.ensure('orders', first)
  await store.close()
  test.match(JSON.parse(readFileSync(join(folder, 'state.json'), 'utf8')), { version: 3 })
})

void t.test('a failed write changes nothing and is said', async (test) => {
  const folder = test.testdir({})
  const store = await FileStore.open(folder)
  await store.ensure('orders', first)
  // A folder in the way of the temporary file: opening it for writing fails, also for root.
  mkdirSync(join(folder, 'state.json.tmp'))
  await test.rejects(store.compareAndSet('orders', 1, after(first, 10)), {
    code: 'STATE_UNREADABLE',
    message: /state\.json cannot be written: EISDIR/,
  })
  test.strictSame(store.get('orders'), first)
  await rm(join(folder, 'state.json.tmp'), { recursive: true })
  test.equal((await store.compareAndSet('orders', 1, after(first, 10))).reads, 10)
  await store.close()
})

void t.test('a state folder that is a file', async (test) => {
  const folder = test.testdir({ state: 'x' })
  await test.rejects(FileStore.open(join(folder, 'state')), { code: 'STATE_UNREADABLE' })
})

void t.test('writes nothing once the lock was taken away', async (test) => {
  const folder = test.testdir({})
  const store = await FileStore.open(folder)
  await store.ensure('orders', first)
  const lock = join(folder, 'lock')
  const other = readFileSync(lock, 'utf8').replace(/"nonce":"[^"]*"/, '"nonce":"other"')
  writeFileSync(lock, other)
  await test.rejects(store.compareAndSet('orders', 1, after(first, 10)), { code: 'STATE_LOCKED' })
  await store.close()
  test.equal(readFileSync(lock, 'utf8'), other, 'the lock of the other one stays')
})

const record: SwitchRecord = {
  id: 'one',
  kind: 'cutover',
  from: 'source',
  to: 'target',
  epoch: 1,
  state: 'started',
  startedAtMs: 0,
  actor: 'ops',
  primaryLost: false,
  over: null,
}
const moved: Route = { ...first, epoch: 2, phase: 'managed', primary: 'target', reads: 100 }

void t.test('a switch is committed or aborted, never both', async (test) => {
  const folder = test.testdir({})
  const store = await FileStore.open(folder)
  await store.ensure('orders', first)
  await test.rejects(store.startSwitch('orders', { ...record, epoch: 2 }), { code: 'EPOCH_STALE' })
  await store.startSwitch('orders', record)
  await test.rejects(store.startSwitch('orders', record), { code: 'SWITCH_RUNNING' })
  await test.rejects(store.compareAndSet('orders', 1, after(first, 10)), { code: 'SWITCH_RUNNING' })
  await test.rejects(store.commitSwitch('orders', 'two', moved), { code: 'SWITCH_DECIDED' })
  const [committed, aborted] = await Promise.allSettled([
    store.commitSwitch('orders', 'one', moved),
    store.abortSwitch('orders', 'one'),
  ])
  test.match(committed, { status: 'fulfilled', value: { epoch: 2, primary: 'target' } })
  test.match(aborted, { status: 'rejected', reason: { code: 'SWITCH_DECIDED' } })
  // A write that has failed halfway may be there and count; whoever finds it so makes it durable.
  await rm(join(folder, 'state.json'))
  test.strictSame(await store.commitSwitch('orders', 'one', moved), moved)
  await store.close()

  const again = await FileStore.open(folder)
  test.match(again.switchOf('orders'), { id: 'one', state: 'committed' }, 'kept across a restart')
  test.strictSame(again.get('orders'), moved)
  await again.endSwitch('orders', 'one')
  test.equal(again.switchOf('orders'), undefined)
  await test.rejects(again.endSwitch('orders', 'one'), { code: 'SWITCH_DECIDED' })
  await again.close()
})

void t.test('a forced switch takes the place of a decided one, or gives it back', async (test) => {
  const folder = test.testdir({})
  let store = await FileStore.open(folder)
  const forced = { ...record, id: 'forced', primaryLost: true }
  await store.ensure('orders', first)
  await store.startSwitch('orders', record)
  await test.rejects(
    store.startForced('orders', { ...forced, over: record }),
    { code: 'SWITCH_RUNNING' },
    'not of one that is still to be decided',
  )
  await store.abortSwitch('orders', 'one')
  const { over: _none, ...aborting } = { ...record, state: 'aborting' as const }
  await test.rejects(store.startForced('orders', forced), { code: 'SWITCH_RUNNING' }, 'unseen')
  await store.startForced('orders', { ...forced, over: aborting })
  await test.rejects(store.endSwitch('orders', 'one'), { code: 'SWITCH_DECIDED' })
  await store.close()
  store = await FileStore.open(folder)
  test.match(store.switchOf('orders'), { id: 'forced', state: 'started', over: { id: 'one' } })
  await store.withdrawForced('orders', 'forced')
  test.strictSame(store.switchOf('orders'), { ...aborting, over: null })
  await store.startForced('orders', { ...forced, over: aborting })
  await store.commitSwitch('orders', 'forced', moved)
  await test.rejects(store.withdrawForced('orders', 'forced'), { code: 'SWITCH_DECIDED' })
  test.match(store.switchOf('orders'), { id: 'forced', state: 'committed', over: null })
  await store.endSwitch('orders', 'forced')
  const gone = { ...forced, epoch: 2, over: aborting }
  await test.rejects(store.startForced('orders', gone), { code: 'SWITCH_DECIDED' })
  await store.close()
})

void t.test('a file of version 2 with a switch under way is migrated', async (test) => {
  const { primaryLost, over, ...old } = record
  const folder = test.testdir({
    'state.json': JSON.stringify({
      version: 2,
      services: { orders: first },
      switches: { orders: old },
    }),
  })
  const store = await FileStore.open(folder)
  test.strictSame(store.switchOf('orders'), { ...old, primaryLost, over })
  await store.close()
})

void t.test('an aborted switch cannot be committed any more', async (test) => {
  const store = await FileStore.open(test.testdir({}))
  await store.ensure('orders', first)
  await store.startSwitch('orders', record)
  await store.abortSwitch('orders', 'one')
  await store.abortSwitch('orders', 'one')
  await test.rejects(store.commitSwitch('orders', 'one', moved), { code: 'SWITCH_DECIDED' })
  test.strictSame(store.get('orders'), first)
  await store.endSwitch('orders', 'one')
  await store.compareAndSet('orders', 1, after(first, 10))
  await store.close()
})

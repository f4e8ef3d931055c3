import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AuditLog, type AuditRecord } from '../../src/store/audit-log.ts'
import type { Clock } from '../../src/shared/clock.ts'

const clock: Clock = { nowMs: () => 0, wallMs: () => Date.UTC(2026, 0, 2) }

function record(action: string, more: Partial<AuditRecord> = {}): AuditRecord {
  const actor = { name: 'ops', role: 'operator', address: '127.0.0.1' }
  return { actor, action, service: 'orders', outcome: 'done', ...more }
}

void t.test('keeps everything that was asked for, in order', async (test) => {
  const folder = test.testdir({})
  const log = await AuditLog.open(folder, clock)
  await Promise.all([
    log.append(record('route', { before: { reads: 0 }, after: { reads: 5 } })),
    log.append(record('pause', { outcome: 'refused', details: { code: 'GATE_REFUSED' } })),
    log.append(record('reload', { service: null })),
  ])
  const common = { time: '2026-01-02T00:00:00.000Z', actor: 'ops', role: 'operator' }
  test.match(await log.readLast(10), [
    { ...common, action: 'route', before: { reads: 0 }, after: { reads: 5 }, details: {} },
    { ...common, action: 'pause', outcome: 'refused', details: { code: 'GATE_REFUSED' } },
    { ...common, action: 'reload', service: null, before: null, origin: '127.0.0.1' },
  ])
  await log.close()
  test.equal(readFileSync(join(folder, 'audit.jsonl'), 'utf8').split('\n').length, 4)
  test.equal(statSync(join(folder, 'audit.jsonl')).mode & 0o777, 0o600)
})

void t.test('reads the last entries of a long file without reading all of it', async (test) => {
  const folder = test.testdir({})
  const log = await AuditLog.open(folder, clock)
  await log.append(record('first'))
  const line = readFileSync(join(folder, 'audit.jsonl'), 'utf8')
  // Lines of all lengths around the piece that is read at once, with letters of several bytes.
  const lines = Array.from({ length: 300 }, (_, index) =>
    line.replace('"details":{}', `"details":{"i":${index},"x":"${'é€'.repeat(index * 20)}"}`),
  )
  appendFileSync(join(folder, 'audit.jsonl'), lines.join(''))
  for (const count of [1, 2, 17, 300]) {
    const entries = await log.readLast(count)
    test.strictSame(
      entries.map(({ details }) => details['i']),
      Array.from({ length: count }, (_, index) => 300 - count + index),
    )
    const longest = entries.at(-1)?.details['x']
    test.equal(longest, 'é€'.repeat(299 * 20), 'no letter was cut')
  }
  test.equal((await log.readLast(1_000)).length, 301)
  test.strictSame(await log.readLast(0), [])
  await log.close()
})

void t.test('a torn last line is skipped, and ended before the next append', async (test) => {
  const folder = test.testdir({})
  const path = join(folder, 'audit.jsonl')
  const log = await AuditLog.open(folder, clock)
  await log.append(record('whole'))
  await log.close()
  const whole = readFileSync(path, 'utf8')
  for (const torn of [whole.slice(0, 40), whole.slice(0, -1), '{', '\n', '5\n', 'null\n']) {
    writeFileSync(path, whole + torn)
    const again = await AuditLog.open(folder, clock)
    await again.append(record('next'))
    const actions = (await again.readLast(10)).map(({ action }) => action)
    const expected = torn === whole.slice(0, -1) ? ['whole', 'whole', 'next'] : ['whole', 'next']
    test.strictSame(actions, expected, JSON.stringify(torn))
    test.ok(readFileSync(path, 'utf8').startsWith(whole + torn), 'nothing written was changed')
    await again.close()
  }
})

void t.test('a line without end is not gathered in memory', async (test) => {
  const folder = test.testdir({})
  const path = join(folder, 'audit.jsonl')
  const log = await AuditLog.open(folder, clock)
  await log.append(record('before'))
  appendFileSync(path, Buffer.alloc(5 * 1_048_576, 'x'))
  appendFileSync(path, '\n')
  await log.append(record('after'))
  test.strictSame(
    (await log.readLast(5)).map(({ action }) => action),
    ['before', 'after'],
  )
  await log.close()
})

void t.test('a log that cannot be opened says why', async (test) => {
  const folder = test.testdir({ 'audit.jsonl': {} })
  await test.rejects(AuditLog.open(folder), {
    code: 'STATE_UNREADABLE',
    message: /audit\.jsonl cannot be opened: EISDIR/,
  })
})

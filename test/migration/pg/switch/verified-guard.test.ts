import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import tap from 'tap'
import { verifiedGuard } from '../../../../src/migration/pg/switch/verified-guard.ts'
import { verifyFolder, type LastVerify } from '../../../../src/migration/pg/verify/last-verify.ts'

const good: LastVerify = {
  version: 1,
  result: 'equal',
  startedAt: '2026-01-02T03:00:00.000Z',
  endedAt: '2026-01-02T03:04:05.000Z',
  primary: 'source',
  isComplete: true,
  isAligned: true,
  tables: 2,
  rows: 30,
  differing: 0,
  repaired: 0,
  unsettled: 0,
  schemaDifferences: 0,
  report: 'report.json',
}

await tap.test('what the last verification says to a switch', async (t) => {
  const state = t.testdir({})
  const folder = verifyFolder(state, 'orders')
  const guard = (): ReturnType<typeof verifiedGuard> => verifiedGuard(state, 'orders')
  t.match(await guard(), { ok: false, severity: 'warning', text: /no pontoon verify orders has/ })
  mkdirSync(folder, { recursive: true })
  const cases: readonly (readonly [Partial<LastVerify>, boolean, RegExp])[] = [
    [{}, true, /ended 2026-01-02T03:04:05.000Z: 30 rows of 2 tables were equal$/],
    [{ isComplete: false }, false, /not all was compared; run it again/],
    [{ isAligned: false }, false, /sync was not waited for; run it again/],
    [{ result: 'unsettled', unsettled: 4 }, false, /4 rows changed too often/],
    [
      { result: 'different', differing: 3, repaired: 1, schemaDifferences: 2 },
      false,
      /3 rows differed \(1 of them repaired\), 2 definitions did; run it again/,
    ],
  ]
  for (const [change, ok, text] of cases) {
    writeFileSync(join(folder, 'last.json'), JSON.stringify({ ...good, ...change }))
    t.match(await guard(), { name: 'verified', ok, text })
  }
  writeFileSync(join(folder, 'last.json'), '{')
  t.match(await guard(), { ok: false, severity: 'warning', text: /last\.json cannot be read/ })
})

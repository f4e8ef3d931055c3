import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { phaseNames } from '../../src/config/phase-names.ts'
import { loadPhases, shippedPhases } from '../../src/config/phases.ts'

const folder = new URL('../../config/phases/', import.meta.url)

void t.test('every phase has its profile and every file its phase', async (test) => {
  const phases = shippedPhases()
  test.strictSame(Object.keys(phases), [...phaseNames])
  test.strictSame(
    readdirSync(folder).toSorted(),
    phaseNames.map((name) => `${name}.yml`).toSorted(),
  )
  test.match(phases, {
    'self-hosted': { reads: 0, mirror: 0, dualWrite: 0, reachedBy: 'patch' },
    'reads-on-target': { reads: 100, reachedBy: 'patch' },
    managed: { reads: 100, reachedBy: 'cutover' },
    retired: { reads: 100, reachedBy: 'retire' },
  })
  test.ok(Object.isFrozen(phases) && Object.isFrozen(phases.canary))
})

void t.test('says what is wrong in a profile', async (test) => {
  const files = Object.fromEntries(
    phaseNames.map((name) => [`${name}.yml`, readFileSync(new URL(`${name}.yml`, folder), 'utf8')]),
  )
  const canary = files['canary.yml'] ?? ''
  const cases: readonly (readonly [string, { code: string; message: RegExp }])[] = [
    [
      canary.replace('reads: 10', 'reads: 101'),
      { code: 'CONFIG_INVALID', message: /canary\.yml: reads/ },
    ],
    [`${canary}\nmore: 1`, { code: 'CONFIG_INVALID', message: /canary\.yml: .*more/ }],
    [
      canary.replace('phase: canary', 'phase: shadow'),
      { code: 'CONFIG_INVALID', message: /expected canary/ },
    ],
    ['[', { code: 'CONFIG_UNREADABLE', message: /canary\.yml/ }],
  ]
  for (const [text, expected] of cases) {
    test.throws(() => loadPhases(test.testdir({ ...files, 'canary.yml': text })), expected)
  }
  const { 'managed.yml': _managed, ...fewer } = files
  test.throws(() => loadPhases(test.testdir(fewer)), { code: 'CONFIG_UNREADABLE' })
})

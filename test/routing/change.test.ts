import t from 'tap'
import * as fc from 'fast-check'
import { shippedPhases } from '../../src/config/phases.ts'
import { changeRoute, initialRoute, type ChangeContext } from '../../src/routing/change.ts'
import { phaseNames, type Route, type RoutePatch } from '../../src/routing/route.ts'
import { PontoonError } from '../../src/shared/errors.ts'

const context: ChangeContext = { service: 'orders', profiles: shippedPhases() }
const start: Route = Object.freeze({
  epoch: 7,
  phase: 'self-hosted',
  primary: 'source',
  reads: 0,
  mirror: 0,
  dualWrite: 0,
})
const managed: Route = Object.freeze({ ...start, phase: 'managed', primary: 'target', reads: 100 })
const retired: Route = Object.freeze({ ...managed, phase: 'retired' })

interface Allowed {
  readonly name: string
  readonly route?: Route
  readonly patch: RoutePatch
  readonly expected: Partial<Route>
}

const allowed: readonly Allowed[] = [
  { name: 'reads', patch: { reads: 50 }, expected: { reads: 50, phase: 'self-hosted' } },
  { name: 'a part of a percent', patch: { reads: 0.5 }, expected: { reads: 0.5 } },
  { name: 'a phase sets its values', patch: { phase: 'canary' }, expected: { reads: 10 } },
  {
    name: 'a phase sets its values again',
    route: { ...start, phase: 'canary', reads: 33 },
    patch: { phase: 'canary' },
    expected: { phase: 'canary', reads: 10 },
  },
  {
    name: 'a value beside a phase counts',
    patch: { phase: 'canary', reads: 25 },
    expected: { phase: 'canary', reads: 25 },
  },
  {
    name: 'back to the start',
    route: { ...start, phase: 'reads-on-target', reads: 100 },
    patch: { phase: 'self-hosted' },
    expected: { phase: 'self-hosted', reads: 0 },
  },
  {
    name: 'shadow without its mirroring',
    patch: { phase: 'shadow', mirror: 0 },
    expected: { phase: 'shadow', mirror: 0 },
  },
]

for (const { name, route = start, patch, expected } of allowed) {
  void t.test(`allows: ${name}`, async (test) => {
    const before = JSON.stringify(route)
    const changed = changeRoute(route, patch, context)
    test.match(changed, { ...expected, epoch: route.epoch + 1, primary: 'source' })
    test.ok(Object.isFrozen(changed))
    test.equal(JSON.stringify(route), before)
  })
}

const unchanged: readonly (readonly [string, Route, RoutePatch])[] = [
  ['an empty patch', start, {}],
  ['the same values', start, { reads: 0, mirror: 0, dualWrite: 0 }],
  ['the same phase', start, { phase: 'self-hosted' }],
  ['managed as it is', managed, { phase: 'managed', reads: 100 }],
  ['retired as it is', retired, { phase: 'retired' }],
]

for (const [name, route, patch] of unchanged) {
  void t.test(`changes nothing: ${name}`, async (test) => {
    test.equal(changeRoute(route, patch, context), route, 'the very same route')
  })
}

const refused: readonly (readonly [string, Route, RoutePatch, RegExp])[] = [
  ['mirror', start, { mirror: 1 }, /mirror 1% refused: not supported yet by this version/],
  ['dual-write', start, { dualWrite: 100 }, /dualWrite 100% refused: not supported yet/],
  ['shadow', start, { phase: 'shadow' }, /mirror 100% \(shadow\) refused: not supported yet/],
  ['managed', start, { phase: 'managed' }, /only `pontoon cutover orders` does/],
  ['retired', start, { phase: 'retired' }, /no command of this version leads there/],
  ['back from managed', managed, { phase: 'canary' }, /only `pontoon rollback orders` does/],
  ['on from managed', managed, { phase: 'retired' }, /no command of this version/],
  ['back from retired', retired, { phase: 'managed' }, /no source to go back to/],
  ['back from retired by phase', retired, { phase: 'self-hosted' }, /no source to go back to/],
  ['reads after cutover', managed, { reads: 50 }, /`pontoon rollback orders` takes both back/],
]

for (const [name, route, patch, message] of refused) {
  void t.test(`refuses: ${name}`, async (test) => {
    test.throws(() => changeRoute(route, patch, context), { code: 'ROUTE_REFUSED', message })
  })
}

await t.test('takes only percentages', async (test) => {
  for (const value of [-1, 100.1, Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const lever of ['reads', 'mirror', 'dualWrite'] as const) {
      test.throws(() => changeRoute(start, { [lever]: value }, context), {
        code: 'BAD_REQUEST',
        message: `${lever}: expected a percentage`,
      })
    }
  }
})

await t.test('no patch ever moves the primary, whatever the route', async () => {
  const percent = fc.oneof(fc.constant(0), fc.constant(100), fc.double({ min: -5, max: 105 }))
  const phase = fc.constantFrom(...phaseNames)
  const patches = fc.record(
    { phase, reads: percent, mirror: percent, dualWrite: percent },
    {
      requiredKeys: [],
    },
  )
  fc.assert(
    fc.property(fc.constantFrom(start, managed, retired), fc.array(patches), (first, list) => {
      let route = first
      for (const patch of list) {
        const next = attempt(route, patch)
        if (next.primary !== first.primary) return false
        if (next !== route && next.epoch !== route.epoch + 1) return false
        if ((next.phase === 'managed' || next.phase === 'retired') && next.phase !== route.phase) {
          return false
        }
        route = next
      }
      return true
    }),
  )
})

await t.test('where a new service starts', async (test) => {
  const readAfterWriteMs = 1_000
  test.strictSame(initialRoute({ phase: 'self-hosted', readAfterWriteMs }, context), {
    ...start,
    epoch: 1,
  })
  test.match(initialRoute({ phase: 'canary', readAfterWriteMs }, context), { reads: 10 })
  test.match(initialRoute({ phase: 'canary', reads: 0, readAfterWriteMs }, context), { reads: 0 })
  for (const phase of ['managed', 'retired', 'shadow'] as const) {
    test.throws(() => initialRoute({ phase, readAfterWriteMs }, context), { code: 'ROUTE_REFUSED' })
  }
})

function attempt(route: Route, patch: RoutePatch): Route {
  try {
    return changeRoute(route, patch, context)
  } catch (error) {
    if (error instanceof PontoonError) return route
    throw error
  }
}

/**
 * What an operator may do to a route, decided without any I/O. Percentages must never be able to
 * cause split-brain, so the primary never moves here: only cutover and rollback do that, and so
 * the phases `managed` and `retired` are out of reach of a patch. The result goes to the store,
 * which compares epochs.
 */
import type { PhaseProfile, PhaseProfiles } from '../config/phases.ts'
import type { RouteDefaults } from '../config/schema.ts'
import { PontoonError } from '../shared/errors.ts'
import type { Route, RoutePatch } from './route.ts'

export interface ChangeContext {
  /** Named in messages. */
  readonly service: string
  readonly profiles: PhaseProfiles
}

type Lever = 'reads' | 'mirror' | 'dualWrite'

/**
 * The route after the patch, one epoch later; the same object if the patch changes nothing.
 * Throws ROUTE_REFUSED, or BAD_REQUEST for values that are no percentages.
 */
export function changeRoute(route: Route, patch: RoutePatch, context: ChangeContext): Route {
  checkPercent('reads', patch.reads)
  checkPercent('mirror', patch.mirror)
  checkPercent('dualWrite', patch.dualWrite)
  const profile = patchableProfile(route, patch, context)
  const changed: Route = {
    ...route,
    epoch: route.epoch + 1,
    phase: profile?.phase ?? route.phase,
    reads: patch.reads ?? profile?.reads ?? route.reads,
    mirror: patch.mirror ?? profile?.mirror ?? route.mirror,
    dualWrite: patch.dualWrite ?? profile?.dualWrite ?? route.dualWrite,
  }
  if (sameTraffic(route, changed)) return route
  refuseUnsound(changed, profile, context)
  return Object.freeze(changed)
}

/** Where a service starts that the store does not know yet. Throws ROUTE_REFUSED. */
export function initialRoute(defaults: RouteDefaults, context: ChangeContext): Route {
  const profile = context.profiles[defaults.phase]
  if (profile.reachedBy !== 'patch') {
    throw refused(
      context,
      `start in phase ${profile.phase}`,
      `\`pontoon ${profile.reachedBy}\` reaches it`,
    )
  }
  const route: Route = {
    epoch: 1,
    phase: profile.phase,
    primary: 'source',
    reads: defaults.reads ?? profile.reads,
    mirror: profile.mirror,
    dualWrite: profile.dualWrite,
  }
  refuseUnsound(route, profile, context)
  return Object.freeze(route)
}

/** The profile that the patch asks for; undefined where the phase stays as it is. */
function patchableProfile(
  route: Route,
  patch: RoutePatch,
  context: ChangeContext,
): PhaseProfile | undefined {
  if (patch.phase === undefined) return undefined
  const asked = context.profiles[patch.phase]
  const leaving = context.profiles[route.phase]
  if (leaving.reachedBy === 'patch' && asked.reachedBy === 'patch') return asked
  if (patch.phase === route.phase) return undefined
  throw refused(context, `phase ${patch.phase}`, wayBetween(leaving, asked, context.service))
}

function wayBetween(leaving: PhaseProfile, asked: PhaseProfile, service: string): string {
  if (leaving.phase === 'retired') return 'a retired service has no source to go back to'
  if (asked.phase === 'retired') return 'no command of this version leads there'
  if (asked.phase === 'managed') {
    return `it moves the writes, which only \`pontoon cutover ${service}\` does`
  }
  return `it moves the writes back, which only \`pontoon rollback ${service}\` does`
}

function refuseUnsound(
  route: Route,
  profile: PhaseProfile | undefined,
  context: ChangeContext,
): void {
  const levers: readonly Lever[] = ['mirror', 'dualWrite']
  for (const lever of levers) {
    if (route[lever] === 0) continue
    const by = profile !== undefined && profile[lever] === route[lever] ? ` (${profile.phase})` : ''
    throw refused(context, `${lever} ${route[lever]}%${by}`, 'not supported yet by this version')
  }
  if (route.primary === 'target' && route.reads !== 100) {
    throw refused(
      context,
      `reads ${route.reads}%`,
      'the target takes the writes, so reads stay on it; ' +
        `\`pontoon rollback ${context.service}\` takes both back`,
    )
  }
}

function sameTraffic(one: Route, other: Route): boolean {
  return (
    one.phase === other.phase &&
    one.primary === other.primary &&
    one.reads === other.reads &&
    one.mirror === other.mirror &&
    one.dualWrite === other.dualWrite
  )
}

function checkPercent(name: Lever, value: number | undefined): void {
  if (value === undefined || (Number.isFinite(value) && value >= 0 && value <= 100)) return
  throw new PontoonError('BAD_REQUEST', `${name}: expected a percentage from 0 to 100`)
}

function refused(context: ChangeContext, what: string, why: string): PontoonError {
  return new PontoonError('ROUTE_REFUSED', `${context.service}: ${what} refused: ${why}`)
}

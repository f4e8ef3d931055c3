/**
 * The names of the phases, in the order a migration walks through them. What each phase sets
 * stands in config/phases/ and is read by phases.ts; what a phase does to a route is decided in
 * routing/change.ts.
 */
export const phaseNames = [
  'self-hosted',
  'shadow',
  'canary',
  'reads-on-target',
  'managed',
  'retired',
] as const
export type PhaseName = (typeof phaseNames)[number]

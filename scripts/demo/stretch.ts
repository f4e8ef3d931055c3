/** The shop at work for a while under one route, watched. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Side } from '../../src/shared/side.ts'
import { countStatements, subtract, targetPercent } from './statement-counts.ts'
import type { Stage } from './stage.ts'
import type { Stretch } from './verdict.ts'

export interface StretchPlan {
  readonly name: string
  readonly reads: number
  readonly primary: Side
}

const momentMs = 500
/** On a busy machine the time alone could show too little. */
const readsMin = 60
const longestMs = 30_000

export async function watch(stage: Stage, plan: StretchPlan): Promise<Stretch> {
  const { application, databases, options, signal, view } = stage
  const countsBefore = await countStatements(databases)
  const before = application.tally()
  const startsAtMs = performance.now()
  const endsAtMs = startsAtMs + options.stepSeconds * 1_000
  const [, experience] = await application.during(async () => {
    let readsCount = 0
    const goesOn = () => {
      const nowMs = performance.now()
      return nowMs < endsAtMs || (readsCount < readsMin && nowMs < startsAtMs + longestMs)
    }
    while (goesOn()) {
      const waitMs = Math.min(momentMs, Math.max(1, endsAtMs - performance.now()))
      await delay(waitMs, undefined, { signal })
      const now = application.tally()
      const counts = subtract(await countStatements(databases), countsBefore)
      const requests = now.requests - before.requests
      readsCount = counts.report.source + counts.report.target
      view.show({
        name: plan.name,
        secondsLeft: Math.max(0, (endsAtMs - performance.now()) / 1_000),
        requestsPerSecond: (requests * 1_000) / (performance.now() - startsAtMs),
        requests: now.requests,
        errors: now.errors,
        p50Ms: now.p50Ms,
        p99Ms: now.p99Ms,
        targetPercent: targetPercent(counts.report),
        writes: counts.write,
      })
    }
  })
  const counts = subtract(await countStatements(databases), countsBefore)
  return { ...plan, ...experience, counts }
}

/** Services whose gate is shut because their databases contradict their route. */
import { condition, type Condition } from '../migration/pg/sync/condition.ts'
import type { Service } from '../proxy/service.ts'

export function primaryDoubts(services: Iterable<Service>): readonly string[] {
  return [...services].flatMap(({ gate }) => {
    const { keptBy, reason } = gate.snapshot()
    return keptBy === 'doubt' ? [`${reason}; pontoon resume goes on with the route as it is`] : []
  })
}

/** For the conditions of a switch: it needs the gate itself. */
export function gateCondition({ gate }: Pick<Service, 'gate'>): Condition {
  const { keptBy, reason } = gate.snapshot()
  return condition(
    'gate',
    keptBy !== 'doubt' && keptBy !== 'switch',
    'the gate is free for a switch',
    keptBy === 'switch'
      ? `${reason}: wait for its end`
      : `${reason}: find out which side is right; pontoon resume goes on with the route as it is`,
  )
}

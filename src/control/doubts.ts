/** Services whose gate is shut because their databases contradict their route. */
import type { Service } from '../proxy/service.ts'

export function primaryDoubts(services: Iterable<Service>): readonly string[] {
  return [...services].flatMap(({ gate }) => {
    const { keptBy, reason } = gate.snapshot()
    return keptBy === 'doubt' ? [`${reason}; pontoon resume goes on with the route as it is`] : []
  })
}

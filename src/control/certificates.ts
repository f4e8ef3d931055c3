/** What is wrong with TLS files that services should have taken anew. */
import type { Service } from '../proxy/service.ts'

/** One sentence for each leg whose files cannot be used. */
export function certificateProblems(services: Iterable<Service>): readonly string[] {
  return [...services].flatMap((service) =>
    (service.snapshot().certificates ?? []).flatMap(({ problem }) =>
      problem === null ? [] : [`${problem}; the ones before stay in use`],
    ),
  )
}

/** Reads PromQL with Prometheus's own grammar: is it valid, and which series does it name? */
import { parser } from '@prometheus-io/lezer-promql'

export interface Selector {
  readonly metric: string
  /** Labels that its matchers name. */
  readonly labels: readonly string[]
}

export interface ReadQuery {
  readonly valid: boolean
  readonly selectors: readonly Selector[]
  /** Labels of `by` and `on`. */
  readonly groupedBy: readonly string[]
}

export function readQuery(text: string): ReadQuery {
  const selectors: { metric: string; labels: string[] }[] = []
  const groupedBy: string[] = []
  let valid = true
  let grouping = false
  parser.parse(text).iterate({
    enter: (node) => {
      const words = text.slice(node.from, node.to)
      if (node.type.isError) valid = false
      if (node.name === 'VectorSelector') selectors.push({ metric: '', labels: [] })
      if (node.name === 'GroupingLabels') grouping = true
      const selector = selectors.at(-1)
      if (node.name === 'Identifier' && selector?.metric === '') selector.metric = words
      if (node.name !== 'LabelName') return
      if (grouping) groupedBy.push(words)
      else selector?.labels.push(words)
    },
    leave: (node) => {
      if (node.name === 'GroupingLabels') grouping = false
    },
  })
  return { valid, selectors, groupedBy }
}

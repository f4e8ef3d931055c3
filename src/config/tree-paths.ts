/** Looking up and leaving out parts of a configuration tree by path. */
import type { Origin, Path } from './mistake.ts'
import type { ConfigNode, MapNode } from './yaml-tree.ts'

export function nodeAt(root: ConfigNode, path: Path): ConfigNode | undefined {
  let node: ConfigNode | undefined = root
  for (const step of path) node = node === undefined ? undefined : childOf(node, step)
  return node
}

/** Where the value at `path` stands, or, if nothing is there, the nearest that encloses it. */
export function originOf(root: ConfigNode, path: Path): Origin {
  let node = root
  let origin = root.origin
  for (const step of path) {
    const child = childOf(node, step)
    if (child === undefined) return origin
    origin =
      node.kind === 'map' ? (node.entries.get(String(step))?.keyOrigin ?? origin) : child.origin
    node = child
  }
  return origin
}

/** The tree without the value at `path`, itself when there is none; a list on the way goes as a whole. */
export function without(root: MapNode, path: Path): MapNode {
  const [step, ...rest] = path
  const entry = step === undefined ? undefined : root.entries.get(String(step))
  if (step === undefined || entry === undefined) return root
  const entries = new Map(root.entries)
  if (rest.length === 0 || entry.value.kind !== 'map') entries.delete(String(step))
  else {
    const value = without(entry.value, rest)
    if (value === entry.value) return root
    entries.set(String(step), { ...entry, value })
  }
  return { ...root, entries }
}

/** As JavaScript values. Keys become own properties even when named `__proto__`. */
export function toPlain(node: ConfigNode): unknown {
  if (node.kind === 'scalar') return node.value
  if (node.kind === 'list') return node.items.map((item) => toPlain(item))
  return Object.fromEntries([...node.entries].map(([name, entry]) => [name, toPlain(entry.value)]))
}

function childOf(node: ConfigNode, step: string | number): ConfigNode | undefined {
  if (node.kind === 'map') return node.entries.get(String(step))?.value
  if (node.kind === 'list') return node.items[Number(step)]
  return undefined
}

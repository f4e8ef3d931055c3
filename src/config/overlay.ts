/**
 * Lays one configuration tree over another: mappings are merged key by key, everything else is
 * replaced, and a key without a value takes away what the lower file said.
 */
import type { ConfigNode, MapEntry, MapNode } from './yaml-tree.ts'

export function overlay(lower: MapNode, upper: MapNode): MapNode {
  const entries = new Map<string, MapEntry>(lower.entries)
  for (const [name, entry] of upper.entries) {
    const below = lower.entries.get(name)
    if (below !== undefined && isNothing(entry.value)) entries.delete(name)
    else entries.set(name, below === undefined ? entry : overEntry(below, entry))
  }
  return { ...upper, entries }
}

function overEntry(below: MapEntry, entry: MapEntry): MapEntry {
  if (below.value.kind !== 'map' || entry.value.kind !== 'map') return entry
  return { ...entry, value: overlay(below.value, entry.value) }
}

function isNothing(node: ConfigNode): boolean {
  return node.kind === 'scalar' && node.value === null
}

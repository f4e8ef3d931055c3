/**
 * What the configuration contract has and this version does not do yet. It is refused by name,
 * instead of being called unknown, or accepted and then not done.
 */
import { originOf, without } from './tree-paths.ts'
import type { Mistake, Path } from './mistake.ts'
import type { ConfigNode, MapNode } from './yaml-tree.ts'

interface Later {
  /** `*` stands for any name. */
  readonly path: readonly string[]
  /** Which values are meant; default: all. */
  readonly when?: (node: ConfigNode) => boolean
  readonly what: string
  /** How many steps of the path are left out of further checks; default: all. */
  readonly skip?: number
}

const later: readonly Later[] = [
  { path: ['state', 'etcd'], what: 'state in etcd' },
  { path: ['workers'], when: (node) => Number(valueOf(node)) > 1, what: 'more than one worker' },
  ...[
    ['services', '*'],
    ['services', '*', 'route'],
  ].flatMap((place) => [
    { path: [...place, 'mirror'], what: 'mirroring of reads' },
    { path: [...place, 'dualWrite'], what: 'dual-write' },
    { path: [...place, 'freshness'], what: 'freshness by log position' },
    { path: [...place, 'guards'], what: 'guards' },
    { path: [...place, 'holdMs'], what: 'holding transactions through an outage' },
  ]),
]

export interface Supported {
  readonly root: MapNode
  readonly mistakes: readonly Mistake[]
}

/** The tree without what is refused, so that other checks do not stumble over it again. */
export function refuseNotYet(root: MapNode): Supported {
  const mistakes: Mistake[] = []
  let kept = root
  for (const { path: pattern, when, what, skip } of later) {
    for (const { path, node } of matches(root, pattern, [])) {
      if (when !== undefined && !when(node)) continue
      mistakes.push({
        code: 'CONFIG_INVALID',
        origin: originOf(root, path),
        path,
        message: `${what} is not supported yet by this version`,
      })
      kept = without(kept, path.slice(0, skip ?? path.length))
    }
  }
  return { root: kept, mistakes }
}

interface Match {
  readonly path: Path
  readonly node: ConfigNode
}

function matches(node: ConfigNode, pattern: readonly string[], path: Path): readonly Match[] {
  const [step, ...rest] = pattern
  if (step === undefined) return [{ path, node }]
  if (node.kind !== 'map') return []
  const names = step === '*' ? [...node.entries.keys()] : [step]
  return names.flatMap((name) => {
    const child = node.entries.get(name)?.value
    return child === undefined ? [] : matches(child, rest, [...path, name])
  })
}

function valueOf(node: ConfigNode): unknown {
  return node.kind === 'scalar' ? node.value : undefined
}

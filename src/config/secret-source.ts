/**
 * The places that a password may come from besides the text itself: `{ file: path }`, and where it
 * may change while Pontoon runs also `{ secretsManager: … }`. Checks the shape in plain words; the
 * schema would only say that no alternative fits. Neighbour: resolve.ts, which reads the files.
 */
import { nearest } from './nearest.ts'
import type { MapNode } from './yaml-tree.ts'

const keysOf = {
  file: ['file'],
  secretsManager: ['secretsManager', 'key', 'region', 'endpoint', 'refreshMs'],
} as const

export interface WrongShape {
  /** The key at fault, or none when the mapping as a whole is wrong. */
  readonly key: string | undefined
  readonly message: string
}

/** Null when it is a source; `rotates`: the value is asked for again while Pontoon runs. */
export function secretShape(node: MapNode, rotates: boolean): WrongShape | null {
  const given = [...node.entries.keys()]
  const kind = given.includes('secretsManager') ? 'secretsManager' : 'file'
  if (!given.includes(kind) || (kind === 'secretsManager' && !rotates)) {
    const other = rotates ? ', { file: path } or { secretsManager: arn }' : ' or { file: path }'
    return { key: undefined, message: `expected text${other}` }
  }
  const known = keysOf[kind]
  const unknown = given.find((key) => !known.some((name) => name === key))
  if (unknown === undefined) return null
  const meant = nearest(unknown, known)
  const hint = meant === undefined ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`
  return { key: unknown, message: `unknown key; ${hint}` }
}

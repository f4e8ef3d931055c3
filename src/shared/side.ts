/** The two databases of a service: the self-hosted one and the managed one. */
export type Side = 'source' | 'target'

export const sides: readonly Side[] = ['source', 'target']

export function otherSide(side: Side): Side {
  return side === 'source' ? 'target' : 'source'
}

export function isSide(value: unknown): value is Side {
  return value === 'source' || value === 'target'
}

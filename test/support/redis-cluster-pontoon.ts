/** A Redis service of ours in front of a cluster alone. Neighbours: redis-pontoon.ts, redis-topologies.ts. */
import { startRedisPontoon, type RedisPontoon, type RedisUpstream } from './redis-pontoon.ts'

export const poolModes = ['multiplexed', 'pinned'] as const
export type PoolMode = (typeof poolModes)[number]

export interface ClusterPontoonOptions {
  readonly mode?: PoolMode
  readonly pool?: Readonly<Record<string, unknown>>
  /** Over what leads to the cluster. */
  readonly source?: Readonly<Record<string, unknown>>
}

/** It is told of one node and finds the others. On the other side there is nobody. */
export async function startClusterPontoon(
  node: RedisUpstream | undefined,
  { mode, pool, source }: ClusterPontoonOptions = {},
): Promise<RedisPontoon> {
  if (node === undefined) throw new Error('no node')
  const { host, port } = node
  return startRedisPontoon({
    source: node,
    target: { port: 1 },
    ...(mode === undefined ? {} : { mode }),
    ...(pool === undefined ? {} : { pool }),
    config: { source: { host, port, cluster: true, ...source } },
  })
}

/** For as long as the test runs. */
export async function serveCluster(
  test: { teardown(end: () => Promise<void>): void },
  node: RedisUpstream | undefined,
  options: ClusterPontoonOptions = {},
): Promise<RedisPontoon> {
  const pontoon = await startClusterPontoon(node, options)
  test.teardown(() => pontoon.stop())
  return pontoon
}

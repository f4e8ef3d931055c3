/**
 * Several Redis servers that work together: a primary with replicas, Sentinels that watch it, a
 * cluster. All real processes. Neighbour: redis.ts, which starts one.
 */
import { freePort } from './free-port.ts'
import { startRedis } from './redis.ts'
import type { RedisOptions, RedisServer } from './redis.ts'
import { itemsOf, textOf } from './resp.ts'
import { until } from './until.ts'

const settledDeadlineMs = 30_000

export interface ReplicaSet {
  readonly primary: RedisServer
  readonly replicas: readonly RedisServer[]
  stop(): Promise<void>
}

/** Waits until every replica has a whole copy and follows. */
export async function startReplicaSet(
  replicaCount = 1,
  options: RedisOptions = {},
): Promise<ReplicaSet> {
  const started: RedisServer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()))
  }
  try {
    const quick = [
      ...(options.config ?? []),
      'repl-diskless-sync-delay 0',
      'repl-ping-replica-period 1',
    ]
    const primary = await startRedis({ ...options, config: quick })
    started.push(primary)
    for (let count = 0; count < replicaCount; count += 1) {
      const login = primary.password === undefined ? [] : [`masterauth ${primary.password}`]
      const config = [...quick, ...login, `replicaof ${primary.host} ${primary.port}`]
      started.push(await startRedis({ ...options, config }))
    }
    const replicas = started.slice(1)
    await Promise.all(replicas.map(untilLinked))
    return { primary, replicas, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export async function untilLinked(replica: RedisServer): Promise<void> {
  const isLinked = async (): Promise<boolean> => (await replica.info('master_link_status')) === 'up'
  await until(isLinked, 'replica linked', settledDeadlineMs)
}

export interface SentinelSet extends ReplicaSet {
  readonly sentinels: readonly RedisServer[]
  /** The name that the Sentinels know the set by. */
  readonly name: string
}

/** A primary with one replica under Sentinels that notice its death within a second. */
export async function startSentinelSet(
  sentinelCount = 1,
  options: RedisOptions = {},
): Promise<SentinelSet> {
  const set = await startReplicaSet(1, options)
  const sentinels: RedisServer[] = []
  const name = 'orders'
  const stop = async (): Promise<void> => {
    await Promise.all(sentinels.map((server) => server.stop()))
    await set.stop()
  }
  try {
    for (let count = 0; count < sentinelCount; count += 1) {
      const { host, port, password } = set.primary
      const config = [
        `sentinel monitor ${name} ${host} ${port} ${Math.floor(sentinelCount / 2) + 1}`,
        `sentinel down-after-milliseconds ${name} 1000`,
        `sentinel failover-timeout ${name} 5000`,
        ...(password === undefined ? [] : [`sentinel auth-pass ${name} ${password}`]),
      ]
      sentinels.push(await startRedis({ sentinel: true, config }))
    }
    const knows = async (sentinel: RedisServer): Promise<boolean> => {
      const replicas = await sentinel.call('SENTINEL', 'replicas', name)
      const others = await sentinel.call('SENTINEL', 'sentinels', name)
      return itemsOf(replicas).length === 1 && itemsOf(others).length === sentinelCount - 1
    }
    await Promise.all(
      sentinels.map((one) => until(() => knows(one), 'Sentinel knows all', settledDeadlineMs)),
    )
    return { ...set, sentinels, name, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

export interface RedisCluster {
  /** The ones with slots, in the order of their slots, when it was made. */
  readonly primaries: readonly RedisServer[]
  /** The replica of each primary, in the same order. */
  readonly replicas: readonly RedisServer[]
  readonly nodes: readonly RedisServer[]
  stop(): Promise<void>
}

const primaryCount = 3
const slotCount = 16_384
/** While a cluster is made, whose nodes talk the more often the shorter it is. */
const makingTimeoutMs = 2_000
/** Afterwards: a machine that stands still for a moment must not cost a cluster its nodes. */
const steadyTimeoutMs = 60_000

/** Three primaries, by default with a replica each, all slots covered, every node of the same mind. */
export async function startRedisCluster(
  options: RedisOptions | ((index: number) => RedisOptions) = {},
  replicasEach: 0 | 1 = 1,
): Promise<RedisCluster> {
  const optionsOf = typeof options === 'function' ? options : (): RedisOptions => options
  const nodes: RedisServer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
  }
  try {
    nodes.push(
      ...(await Promise.all(
        Array.from({ length: (1 + replicasEach) * primaryCount }, (_, index) =>
          startClusterNode(optionsOf(index)),
        ),
      )),
    )
    const [primaries, replicas] = [nodes.slice(0, primaryCount), nodes.slice(primaryCount)]
    const [first] = nodes
    if (first === undefined) throw new Error('no node')
    for (const [index, node] of primaries.entries()) {
      const from = Math.ceil((slotCount * index) / primaryCount)
      const to = Math.ceil((slotCount * (index + 1)) / primaryCount) - 1
      await node.call('CLUSTER', 'ADDSLOTSRANGE', from, to)
      await node.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
    }
    const meet = async (node: RedisServer): Promise<void> => {
      await node.call('CLUSTER', 'MEET', first.host, first.port, await busPort(first))
    }
    await Promise.all(nodes.map((node) => untilKnown(node, nodes.length, () => meet(node))))
    for (const [index, replica] of replicas.entries()) {
      const id = await primaries[index]?.call('CLUSTER', 'MYID')
      await until(
        async () =>
          (await replica.call('CLUSTER', 'REPLICATE', textOf(id)).catch(() => '')) === 'OK',
        'replica accepted',
        settledDeadlineMs,
      )
    }
    await Promise.all(replicas.map(untilLinked))
    await Promise.all(nodes.map((node) => untilCovered(node, replicasEach)))
    const cluster = { primaries, replicas, nodes, stop }
    await noticeLosses(cluster, steadyTimeoutMs)
    return cluster
  } catch (error) {
    await stop()
    throw error
  }
}

/** For a test that loses a node: from now on the others notice it so soon. */
export async function noticeLosses({ nodes }: RedisCluster, afterMs = 2_000): Promise<void> {
  const running = nodes.filter(({ pid }) => pid !== undefined)
  await Promise.all(
    running.map((node) => node.call('CONFIG', 'SET', 'cluster-node-timeout', afterMs)),
  )
}

/**
 * An empty slot goes to another node. That one says so under the highest epoch of all, which it
 * takes because the slot was being imported: or a word from before, late on its way, could win.
 */
export async function giveSlot(
  { primaries }: RedisCluster,
  slot: number,
  from: RedisServer,
  to: RedisServer,
): Promise<void> {
  const [fromId, toId] = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')]
  await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', textOf(fromId))
  for (const node of [to, ...primaries])
    await node.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
}

/** The bus has a free port of its own: the usual one, 10000 above, may be taken. */
async function startClusterNode(options: RedisOptions): Promise<RedisServer> {
  return startRedis({
    ...options,
    config: [
      'cluster-enabled yes',
      `cluster-node-timeout ${makingTimeoutMs}`,
      'repl-diskless-sync-delay 0',
      `cluster-port ${await freePort()}`,
      ...(options.config ?? []),
    ],
  })
}

async function busPort(node: RedisServer): Promise<number> {
  const [, port] = itemsOf(await node.call('CONFIG', 'GET', 'cluster-port'))
  return Number(port)
}

/** A first meeting that takes too long is forgotten, so it is asked for again. */
async function untilKnown(
  node: RedisServer,
  count: number,
  meet: () => Promise<void>,
): Promise<void> {
  const knows = async (): Promise<boolean> => {
    const lines = textOf(await node.call('CLUSTER', 'NODES'))
      .trim()
      .split('\n')
    if (lines.length === 1) await meet()
    return lines.length === count && lines.every((line) => / connected/.test(line))
  }
  await until(knows, 'all nodes met', settledDeadlineMs)
}

/** Every slot served, and every replica known as one. */
export async function untilCovered(node: RedisServer, replicasEach = 1): Promise<void> {
  const isCovered = async (): Promise<boolean> => {
    if (!textOf(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok')) return false
    const ranges = itemsOf(await node.call('CLUSTER', 'SLOTS'))
    const nodesEach = ranges.map((range) => itemsOf(range).length - 2)
    return ranges.length === primaryCount && nodesEach.every((count) => count === 1 + replicasEach)
  }
  await until(isCovered, 'all slots covered', settledDeadlineMs)
}

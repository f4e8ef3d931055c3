/**
 * Many clients that know what they must be told (redis-model-client.ts), at once through one Pontoon
 * over a cluster; in the end the nodes are asked for what is there. Slots may move meanwhile.
 */
import { startClusterPontoon } from './redis-cluster-pontoon.ts'
import { startRedisPontoon } from './redis-pontoon.ts'
import { connectRedis, type RedisWire } from './redis-wire.ts'
import type { RedisCluster } from './redis-topologies.ts'
import type { RedisServer } from './redis.ts'
import { ModelClient, sequence, slotOf, together, type Left } from './redis-model-client.ts'
import type { ModelValue } from './redis-model.ts'
import { itemsOf, textOf, type RespValue } from './resp.ts'
import { until } from './until.ts'

/** Of a cluster, or a single server. */
export type Primaries = Pick<RedisCluster, 'primaries'>

export interface ModelRunOptions {
  readonly mode: 'multiplexed' | 'pinned'
  readonly seed: number
  readonly clientCount: number
  readonly isMoving: boolean
  readonly durationMs: number
  readonly different: (words: string) => void
}

export interface ModelRun {
  readonly replies: number
  readonly left: number
  readonly moves: number
}

/** Which primary has a slot, as it was last moved. */
export class SlotOwners {
  readonly #owners: RedisServer[]
  readonly #cluster: Primaries

  constructor(cluster: Primaries) {
    const { primaries } = cluster
    this.#cluster = cluster
    const part = (slot: number): number => Math.floor((slot * primaries.length) / 16_384)
    this.#owners = Array.from({ length: 16_384 }, (_, slot) => {
      const owner = primaries[part(slot)]
      if (owner === undefined) throw new Error('no primary')
      return owner
    })
  }

  of(slot: number): RedisServer {
    const owner = this.#owners[slot]
    if (owner === undefined) throw new Error('no slot')
    return owner
  }

  /** To the next primary, with all that is in it, in steps. */
  async move(slot: number, rest: () => Promise<void>): Promise<void> {
    const { primaries } = this.#cluster
    const from = this.of(slot)
    const to = primaries[(primaries.indexOf(from) + 1) % primaries.length]
    if (to === undefined) throw new Error('no primary')
    const [fromId, toId] = [await from.call('CLUSTER', 'MYID'), await to.call('CLUSTER', 'MYID')]
    await to.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', textOf(fromId))
    await from.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', textOf(toId))
    for (;;) {
      await rest()
      const keys = itemsOf(await from.call('CLUSTER', 'GETKEYSINSLOT', slot, 1)).map(textOf)
      if (keys.length === 0) break
      await from.call('MIGRATE', to.host, to.port, '', 0, 5_000, 'KEYS', ...keys)
    }
    this.#owners[slot] = to
    await to.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
    await rest()
    await from.call('CLUSTER', 'SETSLOT', slot, 'NODE', textOf(toId))
  }
}

export async function runModelClients(
  cluster: Primaries,
  owners: SlotOwners,
  options: ModelRunOptions,
): Promise<ModelRun> {
  const { mode, seed, clientCount, isMoving, durationMs, different } = options
  const [node] = cluster.primaries
  if (node === undefined) throw new Error('no primary')
  const pool = { size: 3, holdMs: 20_000, queueTimeoutMs: 60_000 }
  const isOfOne = cluster.primaries.length === 1
  const pontoon = isOfOne
    ? await startRedisPontoon({ source: node, mode, pool: { ...pool, ownSize: 6 } })
    : await startClusterPontoon(node, { mode, pool, source: { clusterMset: 'split' } })
  const clients = Array.from(
    { length: clientCount },
    (_, index) =>
      new ModelClient({
        index,
        random: sequence(seed + index * 7_919),
        mayBeSilent: isOfOne || mode === 'pinned',
        isMoving,
        open: () => pontoon.client(),
        different,
      }),
  )
  const end = performance.now() + durationMs
  const isOver = (): boolean => performance.now() > end
  let moves = 0
  const random = sequence(seed - 1)
  const move = async (): Promise<void> => {
    while (!isOver()) {
      const keys = clients[Math.floor(random() * clients.length)]?.keys ?? []
      const key = keys[Math.floor(random() * keys.length)] ?? ''
      await owners.move(slotOf(key), () => new Promise((resolve) => setTimeout(resolve, 5)))
      moves += 1
    }
  }
  try {
    await Promise.all([...clients.map((client) => client.run(isOver)), isMoving ? move() : null])
  } finally {
    await pontoon.stop()
  }
  const left = clients.flatMap((client) => client.left)
  await check(cluster, owners, left, different)
  const replies = clients.reduce((sum, client) => sum + client.replies, 0)
  return { replies, left: left.length, moves }
}

const script = `
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'string' then return {kind, redis.call('GET', KEYS[1])} end
if kind == 'list' then return {kind, redis.call('LRANGE', KEYS[1], 0, -1)} end
if kind == 'hash' then return {kind, redis.call('HGETALL', KEYS[1])} end
return {kind}`

/** When nobody is under way any more: what is there is what must be, and nothing else. */
async function check(
  cluster: Primaries,
  owners: SlotOwners,
  left: readonly Left[],
  different: (words: string) => void,
): Promise<void> {
  await until(async () => {
    const lists = await Promise.all(cluster.primaries.map((one) => one.call('CLIENT', 'LIST')))
    return lists.every((list) => textOf(list).split('\n').filter(isClient).length === 0)
  }, 'nobody is there any more')
  const wires = new Map<RedisServer, RedisWire>()
  for (const one of cluster.primaries) wires.set(one, await connectRedis({ port: one.port }))
  let count = 0
  for (const { name, slots } of left)
    for (const { keys, states } of slots) {
      const wire = wires.get(owners.of(slotOf(keys[0] ?? '')))
      if (wire === undefined) throw new Error('no node')
      for (const key of keys) wire.send('EVAL', script, '1', key)
      const values: (ModelValue | undefined)[] = []
      for (const _ of keys) values.push(valueOf(await wire.value()))
      count += values.filter((value) => value !== undefined).length
      const is = together(values)
      if (states.includes(is)) continue
      const may = states.map((state) => state.slice(0, 300)).join('\n  or ')
      different(`left by ${name}: ${keys.join()}: ${is.slice(0, 300)}\nand not ${may}`)
    }
  const sizes = await Promise.all(cluster.primaries.map((one) => one.call('DBSIZE')))
  const size = sizes.reduce<number>((sum, one) => sum + Number(one), 0)
  if (size !== count) different(`there are ${size} keys, of which ${count} are known`)
  for (const wire of wires.values()) wire.destroy()
  for (const one of cluster.primaries) await one.call('FLUSHALL')
}

/** Neither who asks here nor what MIGRATE keeps open. */
function isClient(line: string): boolean {
  return line !== '' && !/ cmd=(?:client\|list|restore-asking|restore|replconf) /.test(line)
}

function valueOf(reply: RespValue): ModelValue | undefined {
  const [kind, value] = itemsOf(reply)
  if (kind === 'string') return textOf(value)
  if (kind === 'list') return itemsOf(value).map(textOf)
  if (kind !== 'hash') return undefined
  const words = itemsOf(value).map(textOf)
  return new Map(
    words.flatMap((word, at) => (at % 2 === 0 ? [[word, words[at + 1] ?? ''] as const] : [])),
  )
}

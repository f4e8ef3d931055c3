/**
 * A side that is a cluster: keeps the map of its slots and opens connections that look like those to
 * a single server. Neighbours: cluster-connection.ts (one of them), sides.ts (who asks for them).
 */
import type { Endpoint } from '../../net/address.ts'
import { passing } from '../../net/pool-rules.ts'
import { parseReply, withRedis } from '../../net/redis/ask.ts'
import { ClusterMap } from '../../net/redis/cluster-map.ts'
import {
  redisLogin,
  RedisLoginError,
  type RedisLoggedIn,
  type RedisLoginOptions,
} from '../../net/redis/login.ts'
import type { CommandRecord } from './command-book.ts'
import type { Arguments } from '../../routing/redis/command-keys.ts'
import type { Clock } from '../../shared/clock.ts'
import { toPontoonError } from '../../shared/errors.ts'
import { errorReply } from '../../wire/redis/write.ts'
import { ClusterConnection } from './cluster-connection.ts'
import { ClusterLink } from './cluster-link.ts'
import { NodeErrands } from './node-errands.ts'

export interface ClusterSideParts {
  readonly seed: Endpoint
  readonly clock: Clock
  readonly splitMset: boolean
  readonly retryMs: number
  recordOf(request: Arguments): CommandRecord
}

interface Entered {
  readonly endpoint: Endpoint
  readonly loggedIn: RedisLoggedIn
}

export class ClusterSide {
  readonly #parts: ClusterSideParts
  /** As whom the map is read: whoever came last. */
  #login: ((node: Endpoint) => RedisLoginOptions) | null = null
  readonly #map: ClusterMap
  readonly #errands = new NodeErrands()

  constructor(parts: ClusterSideParts) {
    this.#parts = parts
    this.#map = new ClusterMap({
      seed: parts.seed,
      nowMs: () => parts.clock.nowMs(),
      ask: (node) => this.#askSlots(node),
    })
  }

  /** `login` says how to log in to a node; database and version are those of the connection. */
  async open(login: (node: Endpoint) => RedisLoginOptions): Promise<RedisLoggedIn> {
    this.#login = login
    const { clock, splitMset, retryMs } = this.#parts
    if (login(this.#parts.seed).database !== 0) throw noDatabases()
    if (!this.#map.isKnown) await this.#map.refresh()
    const link = new ClusterLink()
    // Also proves that this user may come in.
    const { endpoint, loggedIn } = await this.#enter(login)
    let first: RedisLoggedIn | null = loggedIn
    const { hello, endWait } = loggedIn
    const connection = new ClusterConnection(link, {
      map: this.#map,
      clock,
      splitMset,
      retryMs,
      recordOf: (request) => this.#parts.recordOf(request),
      open: (node) => {
        const present = first
        if (present === null || node !== endpoint) return redisLogin(login(node))
        first = null
        return Promise.resolve(present)
      },
      ask: (node, request, answered) =>
        this.#errands.ask({ ...login(node), version: null, mayBlock: false }, request, answered),
    })
    connection.nodeAt(endpoint).start()
    return {
      socket: link,
      dialled: null,
      clientId: null,
      endWait: endWait === null ? null : (_, answered) => connection.endWait(answered),
      hello,
    }
  }

  /** At any node that can be reached: those that are gone must keep nobody from the others. */
  async #enter(login: (node: Endpoint) => RedisLoginOptions): Promise<Entered> {
    for (let left = this.#map.primaries.length - 1; ; left -= 1) {
      const endpoint = this.#map.anyNode
      try {
        // eslint-disable-next-line no-await-in-loop -- one after the other
        return { endpoint, loggedIn: await redisLogin(login(endpoint)) }
      } catch (error) {
        if (!passing.has(toPontoonError(error, 'CONNECT_FAILED').code)) throw error
        this.#map.avoid(endpoint)
        // Nobody else may be there to learn of a failover.
        this.#map.refresh().catch(() => undefined)
        if (left <= 0) throw error
      }
    }
  }

  #askSlots(node: Endpoint): Promise<unknown> {
    const login = this.#login?.(node)
    if (login === undefined) return Promise.reject(new Error('nobody has logged in yet'))
    return withRedis({ ...login, version: null, mayBlock: false }, async (ask) =>
      parseReply(await ask('CLUSTER', 'SLOTS')),
    )
  }
}

function noDatabases(): RedisLoginError {
  const words = 'ERR SELECT is not allowed in cluster mode: a cluster has database 0 only'
  return new RedisLoginError('SERVER_REJECTED', words, errorReply(words))
}

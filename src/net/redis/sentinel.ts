/**
 * Where the primary of a set is that Redis Sentinel manages: asked anew for every connection, so
 * that a failover is followed as soon as the old primary drops its clients. The Sentinel that
 * answered last is asked first. https://redis.io/docs/latest/develop/reference/sentinel-clients/
 */
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { endpointName, type Endpoint } from '../address.ts'
import { parseReply, withRedis } from './ask.ts'
import type { RedisLoginOptions } from './login.ts'

export interface SentinelParts {
  /** The name that the Sentinels know the set by. */
  readonly set: string
  readonly nodes: readonly Endpoint[]
  /** How to log in to a Sentinel. */
  login(node: Endpoint): RedisLoginOptions
}

export class SentinelGuide {
  readonly #parts: SentinelParts
  #nodes: readonly Endpoint[]

  constructor(parts: SentinelParts) {
    this.#parts = parts
    this.#nodes = parts.nodes
  }

  /** Rejects with SERVER_UNAVAILABLE when no Sentinel knows. */
  async primary(): Promise<Endpoint> {
    const { set } = this.#parts
    const failures: string[] = []
    for (const node of this.#nodes) {
      try {
        const found = await this.#ask(node)
        if (found !== null) {
          this.#nodes = [node, ...this.#nodes.filter((other) => other !== node)]
          return found
        }
        failures.push(`${endpointName(node)} does not know it`)
      } catch (error) {
        failures.push(toPontoonError(error).message)
      }
    }
    const words = `no Sentinel tells the primary of ${set}: ${failures.join('; ')}`
    throw new PontoonError('SERVER_UNAVAILABLE', words)
  }

  async #ask(node: Endpoint): Promise<Endpoint | null> {
    const { set } = this.#parts
    const reply = await withRedis(this.#parts.login(node), async (ask) =>
      parseReply(await ask('SENTINEL', 'get-master-addr-by-name', set)),
    )
    const [host, port]: unknown[] = Array.isArray(reply) ? reply : []
    if (typeof host !== 'string' || !/^\d+$/.test(String(port))) return null
    return { host, port: Number(port) }
  }
}

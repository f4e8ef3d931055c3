/**
 * Looks all the time while something is broken: at no moment may both sides be without a fence.
 * Sees what a verdict at the end cannot, and goes on past databases that are down.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { SwitchPair } from './switch-pair.ts'

type Side = 'source' | 'target'

const pollMs = 50
const timeoutMs = 1_000

export class FenceWatch {
  readonly #pair: SwitchPair
  readonly #clients = new Map<Side, Client>()
  readonly #run: Promise<void>
  #bothOpen = 0
  #stopping = false

  constructor(pair: SwitchPair) {
    this.#pair = pair
    this.#run = this.#watch()
  }

  /** How often both sides were open. */
  async stop(): Promise<number> {
    this.#stopping = true
    await this.#run
    for (const client of this.#clients.values()) await client.end().catch(() => undefined)
    return this.#bothOpen
  }

  async #watch(): Promise<void> {
    while (!this.#stopping) {
      // Asked thrice: a switch that goes on between two questions is no finding.
      const isBoth =
        (await this.#isOpen('source')) &&
        (await this.#isOpen('target')) &&
        (await this.#isOpen('source'))
      if (isBoth) this.#bothOpen += 1
      await sleep(pollMs)
    }
  }

  /** A side that does not answer takes no writes that anyone could hear of. */
  async #isOpen(side: Side): Promise<boolean> {
    try {
      const client = this.#clients.get(side) ?? (await this.#connect(side))
      const { rows } = await client.query<{ fences: string }>(
        'SELECT count(*) AS fences FROM pontoon.fence',
      )
      return rows[0]?.fences === '0'
    } catch {
      const client = this.#clients.get(side)
      this.#clients.delete(side)
      await Promise.race([client?.end().catch(() => undefined), sleep(timeoutMs)])
      return false
    }
  }

  /** As a role of Pontoon, which a fence lets be, but under a name that no switch takes for its own. */
  async #connect(side: Side): Promise<Client> {
    const client = new Client({
      connectionString: this.#pair[side].url('shop', 'control', 'control'),
      application_name: 'watch',
      connectionTimeoutMillis: timeoutMs,
      query_timeout: timeoutMs,
    })
    client.on('error', () => undefined)
    this.#clients.set(side, client)
    await client.connect()
    return client
  }
}

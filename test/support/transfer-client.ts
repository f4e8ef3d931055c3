/**
 * Clients that move money between the accounts of switch-pair.ts in transactions: whatever breaks,
 * the sum of all balances stays the same.
 */
import { Client } from 'pg'
import { accountsCount } from './switch-pair.ts'

const reconnectMs = 20
const timeoutMs = 40_000
const clients = 2

export class Transfers {
  readonly errors: Error[] = []
  readonly #url: string
  readonly #runs: readonly Promise<void>[]
  #stopping = false

  constructor(url: string) {
    this.#url = url
    this.#runs = Array.from({ length: clients }, (_, index) => this.#run(index))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#runs)
  }

  async #run(seed: number): Promise<void> {
    let from = seed * 7
    while (!this.#stopping) {
      const client = new Client({
        connectionString: this.#url,
        connectionTimeoutMillis: timeoutMs,
        query_timeout: timeoutMs,
      })
      client.on('error', () => undefined)
      try {
        await client.connect()
        while (!this.#stopping) await transfer(client, (from += 13))
      } catch (error) {
        this.errors.push(error instanceof Error ? error : new Error(String(error)))
      }
      await Promise.race([client.end().catch(() => undefined), sleep(1_000)])
      await sleep(reconnectMs)
    }
  }
}

async function transfer(client: Client, from: number): Promise<void> {
  // Always in the order of the ids, so that two clients never wait for each other in a circle.
  const [low = 1, high = 1] = [from, from + 1]
    .map((n) => (n % accountsCount) + 1)
    .toSorted((a, b) => a - b)
  await client.query('BEGIN')
  await client.query('UPDATE accounts SET balance = balance - 1 WHERE id = $1', [low])
  await client.query('UPDATE accounts SET balance = balance + 1 WHERE id = $1', [high])
  await client.query('COMMIT')
  await sleep(10)
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

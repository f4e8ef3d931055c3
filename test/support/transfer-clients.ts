/**
 * Clients that move money between accounts and write a numbered record in the same transaction:
 * whatever happens to the database, the balances must add up, and each acknowledged record must
 * be there once. Nothing is repeated; an error counts. Neighbour: record-check.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import { checkRecords } from './record-check.ts'
import type { Attempt, RecordReport, StoredRecord } from './record-check.ts'

export interface TransferOptions {
  readonly url: string
  readonly clients: number
  readonly accounts: number
  /** Pause after each transfer. Default 0. */
  readonly intervalMs?: number
}

export class TransferClients {
  readonly attempts: Attempt[] = []
  readonly errors: Error[] = []
  readonly #options: TransferOptions
  readonly #runs: Promise<void>[]
  readonly #lastAckMs: number[]
  #longestGapMs = 0
  #isStopping = false
  acknowledged = 0

  constructor(options: TransferOptions) {
    this.#options = options
    const now = performance.now()
    this.#lastAckMs = Array.from({ length: options.clients }, () => now)
    this.#runs = this.#lastAckMs.map((_, index) => this.#run(index))
  }

  /** The longest time that any client went without an acknowledgement since the last call. */
  takeLongestGapMs(): number {
    const now = performance.now()
    const waiting = Math.max(...this.#lastAckMs.map((atMs) => now - atMs))
    const longest = Math.max(this.#longestGapMs, waiting)
    this.#longestGapMs = 0
    return longest
  }

  async stop(checkUrl: string): Promise<RecordReport & { readonly balance: number }> {
    this.#isStopping = true
    await Promise.all(this.#runs)
    const client = await open(checkUrl)
    try {
      const { rows } = await client.query<StoredRecord>('SELECT writer, number FROM records')
      const sum = await client.query<{ sum: string }>('SELECT sum(balance) FROM accounts')
      const { attempts, errors } = this
      const report = checkRecords({ attempts, stored: rows, errors, longestGapMs: 0 })
      return { ...report, balance: Number(sum.rows[0]?.sum) }
    } finally {
      await client.end()
    }
  }

  async #run(writer: number): Promise<void> {
    const client = await open(this.#options.url)
    this.#lastAckMs[writer] = performance.now()
    for (let number = 0; !this.#isStopping; number += 1) {
      const attempt: Attempt = { writer, number, acknowledged: false }
      this.attempts.push(attempt)
      try {
        await this.#transfer(client, writer, number)
      } catch (error) {
        this.errors.push(error instanceof Error ? error : new Error(String(error)))
        break
      }
      attempt.acknowledged = true
      this.#noteAck(writer)
      await this.#pause()
    }
    this.#lastAckMs[writer] = Number.POSITIVE_INFINITY
    await client.end()
  }

  async #pause(): Promise<void> {
    const { intervalMs = 0 } = this.#options
    if (intervalMs > 0) await sleep(intervalMs)
  }

  async #transfer(client: Client, writer: number, number: number): Promise<void> {
    const { accounts } = this.#options
    const one = 1 + Math.floor(Math.random() * accounts)
    const other = 1 + Math.floor(Math.random() * accounts)
    const amount = 1 + (number % 10)
    // In the order of the rows, so that no two wait for each other.
    const [low, high] = one < other ? [one, other] : [other, one]
    await client.query('BEGIN')
    await client.query('UPDATE accounts SET balance = balance - $1 WHERE id = $2', [amount, low])
    await client.query('UPDATE accounts SET balance = balance + $1 WHERE id = $2', [amount, high])
    await client.query('INSERT INTO records (writer, number) VALUES ($1, $2)', [writer, number])
    const { command } = await client.query('COMMIT')
    if (command !== 'COMMIT') throw new Error(`COMMIT answered ${command}`)
  }

  #noteAck(writer: number): void {
    const now = performance.now()
    this.acknowledged += 1
    this.#longestGapMs = Math.max(this.#longestGapMs, now - (this.#lastAckMs[writer] ?? now))
    this.#lastAckMs[writer] = now
  }
}

async function open(url: string): Promise<Client> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 30_000 })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

/**
 * Applications that write numbered records and remember which were acknowledged, to find out
 * afterwards whether anything was lost or done twice. Nothing is ever repeated: a record whose
 * fate is unknown stays unknown and the writer goes on with the next number. Neighbour:
 * record-check.ts, which compares what was remembered with what is there.
 */
import { Client, escapeIdentifier } from 'pg'
import { checkRecords } from './record-check.ts'
import type { Attempt, RecordReport, StoredRecord } from './record-check.ts'

export type { RecordReport }

export interface WritersOptions {
  readonly url: string
  /** How many clients write at once. Default 4. */
  readonly writers?: number
  /** Default 'records'. Made when it is not there, unless `createTable` is false. */
  readonly table?: string
  readonly createTable?: boolean
  /**
   * How each record is written: one statement (default), BEGIN … COMMIT, or a named prepared
   * statement.
   */
  readonly mode?: 'autocommit' | 'transaction' | 'prepared'
  /** Pause after each record. Default 0. */
  readonly intervalMs?: number
  /** A record not acknowledged by then counts as an error, its connection is dropped. Default 30 s. */
  readonly timeoutMs?: number
  /** Pause before a writer connects again after an error. Default 20. */
  readonly reconnectMs?: number
}

export interface StopOptions {
  /** Where to look for the records; default: the URL they were written to. */
  readonly checkUrl?: string
}

export function recordTableSql(table: string): string {
  return (
    `CREATE TABLE IF NOT EXISTS ${escapeIdentifier(table)} ` +
    '(id bigserial PRIMARY KEY, writer int NOT NULL, number int NOT NULL)'
  )
}

export async function startWriters(options: WritersOptions): Promise<Writers> {
  const table = options.table ?? 'records'
  if (options.createTable !== false) {
    await withClient(options.url, (client) => client.query(recordTableSql(table)))
  }
  return new Writers(options, table)
}

export class Writers {
  readonly #options: WritersOptions
  readonly #table: string
  readonly #writers: Writer[]
  readonly #runs: Promise<void>[]

  /** Made by startWriters only. */
  constructor(options: WritersOptions, table: string) {
    this.#options = options
    this.#table = table
    this.#writers = Array.from(
      { length: options.writers ?? 4 },
      (_, index) => new Writer(index, options, table),
    )
    this.#runs = this.#writers.map((writer) => writer.run())
  }

  /** So far, over all writers. */
  get acknowledged(): number {
    return this.#writers.reduce((sum, writer) => sum + writer.acknowledged, 0)
  }

  /** So far, in order of appearance per writer. */
  get errors(): Error[] {
    return this.#writers.flatMap((writer) => writer.errors)
  }

  /** Waits until so many more records are acknowledged than now. */
  async untilAcknowledged(more: number, deadlineMs = 30_000): Promise<void> {
    const goal = this.acknowledged + more
    const deadline = performance.now() + deadlineMs
    while (this.acknowledged < goal) {
      if (performance.now() > deadline) {
        throw new Error(`${goal - this.acknowledged} of ${more} records still not acknowledged`, {
          cause: this.errors.at(-1),
        })
      }
      await sleep(5)
    }
  }

  /** Lets the records under way finish, then looks into the table. */
  async stop(options: StopOptions = {}): Promise<RecordReport> {
    for (const writer of this.#writers) writer.stop()
    await Promise.all(this.#runs)
    const stored = await withClient(options.checkUrl ?? this.#options.url, async (client) => {
      const sql = `SELECT writer, number FROM ${escapeIdentifier(this.#table)}`
      return (await client.query<StoredRecord>(sql)).rows
    })
    return checkRecords({
      attempts: this.#writers.flatMap((writer) => writer.attempts),
      stored,
      errors: this.errors,
      longestGapMs: Math.max(0, ...this.#writers.map((writer) => writer.longestGapMs)),
    })
  }
}

class Writer {
  readonly attempts: Attempt[] = []
  readonly errors: Error[] = []
  acknowledged = 0
  longestGapMs = 0
  readonly #index: number
  readonly #options: WritersOptions
  readonly #insert: string
  #lastAckMs = performance.now()
  #stopping = false

  constructor(index: number, options: WritersOptions, table: string) {
    this.#index = index
    this.#options = options
    this.#insert = `INSERT INTO ${escapeIdentifier(table)} (writer, number) VALUES ($1, $2)`
  }

  stop(): void {
    this.#stopping = true
  }

  async run(): Promise<void> {
    let client: Client | undefined
    for (let number = 0; !this.#stopping; number += 1) {
      const attempt: Attempt = { writer: this.#index, number, acknowledged: false }
      try {
        client ??= await open(this.#options.url, this.#options.timeoutMs)
        this.attempts.push(attempt)
        await this.#write(client, number)
        attempt.acknowledged = true
        this.acknowledged += 1
        this.#noteGap()
      } catch (error) {
        this.errors.push(error instanceof Error ? error : new Error(String(error)))
        // Also after a plain SQL error: the state of the session is not worth knowing.
        await drop(client)
        client = undefined
        await sleep(this.#options.reconnectMs ?? 20)
      }
      if ((this.#options.intervalMs ?? 0) > 0) await sleep(this.#options.intervalMs ?? 0)
    }
    // A pause that never ended counts too.
    this.#noteGap()
    await drop(client)
  }

  #noteGap(): void {
    const nowMs = performance.now()
    this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastAckMs)
    this.#lastAckMs = nowMs
  }

  async #write(client: Client, number: number): Promise<void> {
    const values = [this.#index, number]
    switch (this.#options.mode ?? 'autocommit') {
      case 'autocommit':
        await client.query(this.#insert, values)
        return
      case 'prepared':
        await client.query({ name: 'record', text: this.#insert, values })
        return
      case 'transaction': {
        await client.query('BEGIN')
        await client.query(this.#insert, values)
        const { command } = await client.query('COMMIT')
        // COMMIT of a failed transaction succeeds with the tag ROLLBACK.
        if (command !== 'COMMIT') throw new Error(`COMMIT answered ${command}`)
      }
    }
  }
}

async function open(url: string, timeoutMs = 30_000): Promise<Client> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
  })
  // An error on an idle client is met again by the next query.
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function drop(client: Client | undefined): Promise<void> {
  try {
    // With a query under way pg destroys the socket; otherwise it says Terminate and waits.
    await Promise.race([client?.end(), sleep(1_000)])
  } catch {
    // It is gone already.
  }
}

async function withClient<T>(url: string, action: (client: Client) => Promise<T>): Promise<T> {
  const client = await open(url)
  try {
    return await action(client)
  } finally {
    await client.end()
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Sessions on one side whose results do not depend on what databases and roles have set. */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import type { Side } from '../../../shared/side.ts'
import { wait } from '../../../shared/wait.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'

/**
 * Beyond what side-login.ts pins. Row security would hide rows without a word, so a statement that
 * it applies to fails instead. No parallel workers: the number of jobs is what loads a side.
 */
export const readSettings = `
SET row_security = off;
SET max_parallel_workers_per_gather = 0;
SET work_mem = '32MB'`

const attemptsMax = 5
const firstRetryMs = 200

export class SidePool {
  readonly side: Side
  readonly #context: MigrationContext
  readonly #sizeMax: number
  readonly #idle: SqlClient[] = []
  readonly #waiting: (() => void)[] = []
  #busy = 0
  #closed = false

  constructor(context: MigrationContext, side: Side, sizeMax: number) {
    this.#context = context
    this.side = side
    this.#sizeMax = sizeMax
  }

  /**
   * Runs `work` on a session of its own, again on a new one where the server was lost: `work`
   * only reads. Rejects with the reason of the signal.
   */
  async use<T>(
    work: (client: SqlClient) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      signal?.throwIfAborted()
      try {
        return await this.#once(work)
      } catch (error) {
        if (attempt === attemptsMax || this.#closed || !isLoss(error)) throw error
      }
      await wait(firstRetryMs * 2 ** attempt, signal)
    }
  }

  close(): void {
    this.#closed = true
    for (const client of this.#idle.splice(0)) client.close()
  }

  async #once<T>(work: (client: SqlClient) => Promise<T>): Promise<T> {
    await this.#turn()
    let client: SqlClient | undefined
    try {
      client = this.#idle.pop() ?? (await this.#connect())
      return await work(client)
    } finally {
      this.#busy -= 1
      if (client?.isOpen === true && !this.#closed) this.#idle.push(client)
      else client?.close()
      this.#waiting.shift()?.()
    }
  }

  async #turn(): Promise<void> {
    while (this.#busy >= this.#sizeMax)
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#busy += 1
  }

  async #connect(): Promise<SqlClient> {
    const client = await connectAs(this.#context, {
      side: this.side,
      purpose: 'read',
      task: 'verify',
    })
    try {
      await client.run(readSettings)
      return client
    } catch (error) {
      client.destroy()
      throw error
    }
  }
}

function isLoss(error: unknown): boolean {
  if (!(error instanceof PontoonError)) return false
  return ['SERVER_LOST', 'SERVER_UNAVAILABLE', 'CONNECT_FAILED', 'CONNECT_TIMEOUT'].includes(
    error.code,
  )
}

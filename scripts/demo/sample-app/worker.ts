/** What every worker of the shop goes by. */
import type { Pool, PoolClient } from 'pg'
import type { Tally } from './tally.ts'

export interface WorkerParts {
  readonly pool: Pool
  readonly tally: Tally
  readonly signal: AbortSignal
}

/** A connection in an unknown state must not serve the next request. */
export async function withClient(
  pool: Pool,
  use: (client: PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect()
  let failure: Error | undefined
  try {
    await use(client)
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error))
    throw error
  } finally {
    client.release(failure)
  }
}

/**
 * Waits until the side that is not primary has everything that the primary side had committed
 * before: a row committed on the primary side travels with the changes, and what is applied is
 * applied in the order of commits. Callers that wait at the same time share a row.
 */
import type { SqlClient } from '../../../net/pg/sql-client.ts'
import { PontoonError } from '../../../shared/errors.ts'
import { otherSide, type Side } from '../../../shared/side.ts'
import { awaitMarker, sendMarker } from '../beats.ts'
import { directionFrom, heartbeatTable, subscriptionName, type Direction } from '../names.ts'
import { literal } from '../quote.ts'
import { connectAs, type MigrationContext } from '../side-login.ts'

export interface AlignmentOptions {
  readonly context: MigrationContext
  readonly primary: Side
  /** How long the other side may take to catch up. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** `none`: nothing has been set up that would carry changes. */
export type SyncState = 'running' | 'stopped' | 'none'

export class Alignment {
  readonly #writer: SqlClient
  readonly #reader: SqlClient
  readonly #direction: Direction
  readonly #options: AlignmentOptions
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | null = null

  private constructor(writer: SqlClient, reader: SqlClient, options: AlignmentOptions) {
    this.#writer = writer
    this.#reader = reader
    this.#options = options
    this.#direction = directionFrom(options.primary)
  }

  static async open(options: AlignmentOptions): Promise<Alignment> {
    const { context, primary } = options
    const task = 'verify'
    const writer = await connectAs(context, { side: primary, purpose: 'control', task })
    try {
      const side = otherSide(primary)
      const reader = await connectAs(context, { side, purpose: 'control', task })
      return new Alignment(writer, reader, options)
    } catch (error) {
      writer.close()
      throw error
    }
  }

  /** Rejects with SYNC_BEHIND when the other side takes longer than `timeoutMs`. */
  caughtUp(): Promise<void> {
    // A round that runs already may have committed its row before the caller's last statement.
    this.#next ??= this.#afterRunning()
    return this.#next
  }

  close(): void {
    this.#writer.close()
    this.#reader.close()
  }

  async #afterRunning(): Promise<void> {
    await this.#running.catch(() => undefined)
    this.#next = null
    this.#running = this.#round()
    await this.#running
  }

  async #round(): Promise<void> {
    const { signal, timeoutMs, primary } = this.#options
    const options = { timeoutMs, signal }
    const marker = await sendMarker(this.#writer, this.#direction, 'verify', options)
    try {
      await awaitMarker(this.#reader, marker, options)
    } catch (error) {
      if (!(error instanceof PontoonError) || error.code !== 'SYNC_BEHIND') throw error
      throw new PontoonError(
        'SYNC_BEHIND',
        `the ${otherSide(primary)} has not applied within ${timeoutMs} ms what the ${primary} ` +
          'has committed: see pontoon sync',
        { cause: error },
      )
    }
  }
}

/** Of the direction that carries changes away from `primary`. `other` is a session beyond it. */
export async function readSyncState(
  other: SqlClient,
  context: MigrationContext,
  primary: Side,
): Promise<SyncState> {
  const direction = directionFrom(primary)
  const name = subscriptionName(context.service, direction)
  const { rows } = await other.query(
    `SELECT s.subenabled FROM pg_catalog.pg_subscription s
     JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
     WHERE d.datname = pg_catalog.current_database()
       AND s.subname ~ ${literal(`^${name}(_[0-9]+)?$`)}
       AND pg_catalog.to_regclass('pontoon.${heartbeatTable(direction)}') IS NOT NULL`,
  )
  if (rows.length === 0) return 'none'
  return rows.some(([isEnabled]) => isEnabled === 't') ? 'running' : 'stopped'
}

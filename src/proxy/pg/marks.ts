/**
 * Pontoon's mark: one row in both databases that names the primary side, written by whoever moves
 * it. Every new server is asked for it, so that a route out of a lost or restored state file cannot
 * quietly lead writes to the side that was left. A server that names another side than the route
 * serves nobody; and unless a switch is under way, the gate is shut until an operator decides.
 */
import { askServer } from '../../net/pg/ask.ts'
import { postmasterSql } from '../../net/pg/postmaster.ts'
import { hasTransactionTimeout } from '../../net/pg/reported.ts'
import type { PgServer } from '../../net/pg/server.ts'
import { PontoonError } from '../../shared/errors.ts'
import { isSide, type Side } from '../../shared/side.ts'
import type { ServiceContext } from './context.ts'

export interface Mark {
  readonly epoch: string
  readonly primary: Side
  /** Left behind by a forced switch: what is there is no copy of the primary side. */
  readonly parted: Side | null
}

/** Whether the server is a standby, whether its database has a mark, and whose server it is. */
export const stateSql = `SELECT pg_catalog.pg_is_in_recovery(), EXISTS (
  SELECT FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
  WHERE n.nspname OPERATOR(pg_catalog.=) 'pontoon'::pg_catalog.name
    AND c.relname OPERATOR(pg_catalog.=) 'mark'::pg_catalog.name), ${postmasterSql}`

/** `parted` is a column that came later than the table. */
const markOf = `m.epoch::pg_catalog.text, m.primary_side::pg_catalog.text,
  pg_catalog.to_jsonb(m) OPERATOR(pg_catalog.->>) 'parted'::pg_catalog.text FROM pontoon.mark m`
const markSql = `SELECT ${markOf}`

/** All in one, for a database that has a mark: half the time of the server, and one round trip. */
const stateAndMarkSql = `SELECT pg_catalog.pg_is_in_recovery(), ${postmasterSql}, ${markOf}`

export interface ServerState {
  readonly isStandby: boolean
  readonly mark: Mark | null
}

/**
 * Rejects with SERVER_LOST. The server knows its postmaster then. `isMarked`: its database is known
 * to have a mark; where that is not so any more it takes longer.
 */
export async function stateOf(
  server: PgServer,
  timeoutMs: number,
  isMarked = false,
): Promise<ServerState> {
  if (isMarked) {
    const [row] = await unlessRefused(server, stateAndMarkSql, timeoutMs)
    const mark = markFrom(row?.slice(2))
    if (mark !== null) {
      server.postmaster = row?.[1] ?? null
      return { isStandby: row?.[0] === 't', mark }
    }
  }
  const [state] = await askServer(server, unhurried(server, stateSql), timeoutMs)
  server.postmaster = state?.[2] ?? null
  const isStandby = state?.[0] === 't'
  if (state?.[1] !== 't') return { isStandby, mark: null }
  const [row] = await unlessRefused(server, markSql, timeoutMs)
  return { isStandby, mark: markFrom(row) }
}

function markFrom(row: readonly (string | null)[] | undefined): Mark | null {
  const [epoch, primary, parted] = row ?? []
  if (!isSide(primary)) return null
  return { epoch: epoch ?? '', primary, parted: isSide(parted) ? parted : null }
}

/** What the role allows its own statements must not keep the server from serving. */
function unhurried({ reported }: PgServer, sql: string): string {
  const ofTransaction = hasTransactionTimeout(reported) ? 'SET LOCAL transaction_timeout = 0; ' : ''
  return `${ofTransaction}SET LOCAL statement_timeout = 0; ${sql}`
}

/**
 * Everybody may read it, as it is made. Where somebody has taken that right away, or has a table of
 * that name of his own, it says nothing: to serve nobody because of that would be worse.
 */
async function unlessRefused(
  server: PgServer,
  sql: string,
  timeoutMs: number,
): Promise<readonly (readonly (string | null)[])[]> {
  try {
    return await askServer(server, unhurried(server, sql), timeoutMs)
  } catch (error) {
    if (!(error instanceof PontoonError) || error.code !== 'SERVER_REJECTED') throw error
    server.rest()
    return []
  }
}

export class MarkWatch {
  readonly #context: ServiceContext
  /** Shuts the gate until an operator opens it. */
  readonly #doubt: (reason: string) => void
  /** What the gate is shut for, and what an operator has decided to go on with. */
  #doubted = ''
  #accepted = ''

  constructor(context: ServiceContext, doubt: (reason: string) => void) {
    this.#context = context
    this.#doubt = doubt
  }

  /**
   * Throws MARK_MISMATCH when the mark names another primary side than the route, or its side as one
   * that was left behind.
   */
  check(side: Side, mark: Mark): void {
    const { name, gate, log, route } = this.#context
    const isOther = side !== route.primary
    if (isOther && mark.parted === side)
      throw new PontoonError('MARK_MISMATCH', `the ${side} of ${name} was left behind`)
    if (mark.primary === route.primary) return
    // The side that was left may have been down when it was to be told. It serves nobody until it
    // is, and is no reason to doubt the route.
    if (isOther && Number(mark.epoch) < route.epoch)
      throw new PontoonError(
        'MARK_MISMATCH',
        `the ${side} of ${name} does not know yet that it was left`,
      )
    const key = `${side} ${mark.epoch} ${mark.primary} ${route.primary}`
    if (key === this.#accepted) return
    const text = `the ${side} of ${name} says that the ${mark.primary} is primary since epoch ${mark.epoch}, the route of epoch ${route.epoch} says the ${route.primary}`
    if (gate.keptBy !== 'switch') {
      this.#doubted = key
      if (gate.keptBy !== 'doubt')
        log.error(
          { service: name, side, mark, route },
          `${text}; the gate is shut until an operator resumes the service`,
        )
      this.#doubt(text)
    }
    throw new PontoonError('MARK_MISMATCH', text)
  }

  /** An operator opens the gate: this mark is no hindrance any more, another one is. */
  accept(): void {
    if (this.#context.gate.keptBy !== 'doubt') return
    this.#accepted = this.#doubted
    this.#context.log.warn(
      { service: this.#context.name, mark: this.#accepted },
      'an operator goes on although the mark of a side names another primary side',
    )
  }
}

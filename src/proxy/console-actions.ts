/**
 * What a service's console (pg/console) asks of whoever runs the process. control/console.ts
 * implements it, so that an action typed into the console takes the same path as one of the
 * admin API: checked, carried out, audited.
 */
import type { PontoonError } from '../shared/errors.ts'
import type { DrainReport, SessionFilter } from './service.ts'

/** Who sits at the console, as the audit log names him. */
export interface ConsoleActor {
  readonly name: string
  readonly address: string
}

export interface ReloadOutcome {
  readonly applied: readonly string[]
  readonly needRestart: readonly string[]
  readonly forNewServices: readonly string[]
  readonly warnings: readonly string[]
}

export interface ConsoleActions {
  /** Of this Pontoon. */
  readonly version: string
  pause(service: string, forMs: number, waitMs: number, actor: ConsoleActor): Promise<DrainReport>
  resume(service: string, actor: ConsoleActor): Promise<void>
  /** A null database means all of them. */
  reconnect(service: string, database: string | null, actor: ConsoleActor): Promise<void>
  /** Settles with the number of sessions that were ended. */
  kill(service: string, which: SessionFilter, actor: ConsoleActor): Promise<number>
  reload(actor: ConsoleActor): Promise<ReloadOutcome>
  /** Settles when it is on record; the process stops afterwards. */
  shutdown(drain: boolean, actor: ConsoleActor): Promise<void>
  /** Puts on record what somebody asked for who may not. */
  refused(service: string, command: string, error: PontoonError, actor: ConsoleActor): Promise<void>
}

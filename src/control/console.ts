/**
 * What the consoles of the services (proxy/pg/console) may do: the same actions as the admin
 * API, by the same operator.ts, with the console user as actor. The services start before the
 * operator exists, so runtime.ts connects the two; until then a command is refused.
 */
import type { ConsoleActions, ConsoleActor, ReloadOutcome } from '../proxy/console-actions.ts'
import type { DrainReport, SessionFilter } from '../proxy/service.ts'
import { PontoonError } from '../shared/errors.ts'
import type { Actor, Operator } from './operator.ts'
import type { Reloader } from './reload.ts'
import { version } from './version.ts'

export interface ConsoleParts {
  readonly operator: Operator
  readonly reloader: Reloader
  /** Stops the process; without `drainMs` as long as the configuration says. */
  readonly stop: (reason: string, drainMs?: number) => Promise<void>
}

export class ControlConsole implements ConsoleActions {
  readonly version = version
  #parts: ConsoleParts | null = null

  connect(parts: ConsoleParts): void {
    this.#parts = parts
  }

  async pause(
    service: string,
    forMs: number,
    waitMs: number,
    by: ConsoleActor,
  ): Promise<DrainReport> {
    return await this.#connected().operator.pause(service, forMs, waitMs, actorOf(by))
  }

  async resume(service: string, by: ConsoleActor): Promise<void> {
    await this.#connected().operator.resume(service, actorOf(by))
  }

  async reconnect(service: string, database: string | null, by: ConsoleActor): Promise<void> {
    await this.#connected().operator.reconnect(service, actorOf(by), database)
  }

  async kill(service: string, which: SessionFilter, by: ConsoleActor): Promise<number> {
    return await this.#connected().operator.endSessions(service, which, actorOf(by))
  }

  async reload(by: ConsoleActor): Promise<ReloadOutcome> {
    return await this.#connected().reloader.reload(actorOf(by))
  }

  async shutdown(drain: boolean, by: ConsoleActor): Promise<void> {
    const { operator, stop } = this.#connected()
    const actor = actorOf(by)
    await operator.audited('process.stop', null, { drain }, actor, () =>
      Promise.resolve({ result: undefined }),
    )
    // Later, so that the console can say that it was done.
    setImmediate(() => {
      stop(`SHUTDOWN by ${by.name}`, drain ? undefined : 0).catch(() => undefined)
    })
  }

  async refused(
    service: string,
    command: string,
    error: PontoonError,
    by: ConsoleActor,
  ): Promise<void> {
    const actor: Actor = { name: by.name, role: 'viewer', address: by.address }
    await this.#connected().operator.recordRefusal(error, service, { command }, actor)
  }

  #connected(): ConsoleParts {
    if (this.#parts !== null) return this.#parts
    throw new PontoonError('SHUTTING_DOWN', 'Pontoon is still starting')
  }
}

function actorOf({ name, address }: ConsoleActor): Actor {
  return { name, role: 'operator', address }
}

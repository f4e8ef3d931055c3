/**
 * The console of one service, after PgBouncer's: who connects to its virtual database
 * (access.ts) talks to Pontoon itself. It owns the sessions at the console; commands are in
 * show.ts and act.ts.
 */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { PontoonError } from '../../../shared/errors.ts'
import type { ConsoleActions } from '../../console-actions.ts'
import { DatabaseTotals } from '../../service.ts'
import type { ClientLogin, StartupIdentity } from '../client-login.ts'
import { consoleRole } from './access.ts'
import { ConsoleSession, type ConsoleHost } from './session.ts'
import { StatsWindow } from './stats-window.ts'
import { ownName, type ConsoleView } from './view.ts'

/** At the console of one service at once; clients of databases have limits.clientsMax. */
export const consolesMax = 100

export interface ConsoleParts extends Pick<
  ConsoleView,
  'context' | 'pools' | 'sessions' | 'loginCount' | 'listening'
> {
  /** Null where nobody runs the process, as in tests of a service alone: then it only shows. */
  readonly actions: ConsoleActions | null
  /** The next client's number. */
  nextId(): number
}

export class AdminConsole implements ConsoleHost {
  readonly view: ConsoleView
  readonly actions: ConsoleActions | null
  readonly #parts: ConsoleParts
  readonly #sessions = new Set<ConsoleSession>()
  readonly #averages: StatsWindow

  constructor(parts: ConsoleParts) {
    const { context, pools, sessions, actions } = parts
    this.#parts = parts
    this.#averages = new StatsWindow(context.clock.nowMs())
    this.actions = actions
    this.view = {
      context,
      pools,
      sessions,
      consoles: this.#sessions,
      ownTotals: new DatabaseTotals(),
      averages: this.#averages,
      version: actions?.version ?? '',
      loginCount: () => parts.loginCount(),
      listening: () => parts.listening(),
    }
  }

  /** Welcomes somebody whose login has found that he may come in. Throws CLIENT_LIMIT. */
  open(login: ClientLogin, { user, parameters, cancelKeyBytes }: StartupIdentity): void {
    if (this.#sessions.size >= consolesMax)
      throw new PontoonError(
        'CLIENT_LIMIT',
        `there are ${consolesMax} clients at the console already`,
      )
    const session = new ConsoleSession(
      this,
      {
        id: this.#parts.nextId(),
        user,
        role: consoleRole(this.view.context.config, user, true),
        address: login.from.text,
        applicationName: parameters.get('application_name') ?? '',
        cancelPid: randomInt(1, 0x7fff_ffff),
        cancelSecret: randomBytes(cancelKeyBytes),
      },
      login.transport,
    )
    this.#sessions.add(session)
    login.sendOk()
    session.greet()
    const early = login.handOver()
    if (early.length > 0) session.onBytes(early, early.length)
  }

  left(session: ConsoleSession): void {
    this.#sessions.delete(session)
  }

  /** Returns false when the key belongs to nobody here. */
  cancel(pid: number, secret: Buffer): boolean {
    for (const session of this.#sessions) {
      const { cancelPid, cancelSecret } = session.identity
      if (cancelPid !== pid || cancelSecret.length !== secret.length) continue
      if (!timingSafeEqual(cancelSecret, secret)) continue
      session.cancel()
      return true
    }
    return false
  }

  /** Once a second. */
  sweep(): void {
    const { context, ownTotals } = this.view
    const totals = new Map(context.stats.databases).set(ownName, ownTotals)
    this.#averages.tick(context.clock.nowMs(), totals)
  }

  close(error: PontoonError): void {
    for (const session of this.#sessions) session.fail(error)
  }
}

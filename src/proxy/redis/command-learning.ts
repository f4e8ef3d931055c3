/**
 * Which commands there are is asked of each side after new connections to it, now and then, since
 * the server behind it may be another one. The book (command-book.ts) goes by what the primary
 * said: an answer that comes late, when the primary has moved, must not replace the new one's.
 */
import type { CommandTable } from '../../routing/redis/command-table.ts'
import type { Side } from '../../shared/side.ts'
import type { ServerKind } from './server-group.ts'

/** The server behind a side may be another one after a restart, but not after every connect. */
const askEveryMs = 10_000

export interface CommandLearningParts {
  readonly book: { learn(table: CommandTable): void }
  primary(): Side
  nowMs(): number
  ask(kind: ServerKind): Promise<CommandTable>
  failed(side: Side, thrown: unknown): void
}

export class CommandLearning {
  readonly #parts: CommandLearningParts
  readonly #tables = new Map<Side, CommandTable>()
  readonly #askedAtMs = new Map<Side, number>()
  /** Sides that have a new server, which has not been asked. */
  readonly #unasked = new Map<Side, ServerKind>()

  constructor(parts: CommandLearningParts) {
    this.#parts = parts
  }

  /** A server was opened. */
  opened(kind: ServerKind): void {
    this.#unasked.set(kind.side, kind)
    this.look()
  }

  primaryMoved(): void {
    const table = this.#tables.get(this.#parts.primary())
    if (table !== undefined) this.#parts.book.learn(table)
  }

  /** Asks whom it is time to ask. */
  look(): void {
    const now = this.#parts.nowMs()
    for (const [side, kind] of this.#unasked) {
      if (now - (this.#askedAtMs.get(side) ?? Number.NEGATIVE_INFINITY) < askEveryMs) continue
      this.#askedAtMs.set(side, now)
      this.#unasked.delete(side)
      this.#ask(kind).catch((thrown: unknown) => {
        this.#parts.failed(side, thrown)
        this.#unasked.set(side, kind)
      })
    }
  }

  async #ask(kind: ServerKind): Promise<void> {
    const { side } = kind
    const table = await this.#parts.ask(kind)
    this.#tables.set(side, table)
    if (side === this.#parts.primary()) this.#parts.book.learn(table)
  }
}

/**
 * Commands of a cluster connection that their nodes could not take: they are sent again once nothing
 * is under way, one entry after the other, because one that is refused once more must not be overtaken
 * by those behind it. Neighbour: cluster-connection.ts.
 */
import type { Clock } from '../../shared/clock.ts'
import type { Entry, Part } from './cluster-entry.ts'

const retryDelayMs = { first: 20, max: 500 } as const

export interface RetriesOwner {
  readonly clock: Clock
  /** Whose reply comes first. */
  order(one: Entry, other: Entry): number
  readMap(): Promise<void>
  send(parts: readonly Part[]): void
  /** Some have their last word. */
  give(): void
  /** None is left. */
  over(): void
}

export class ClusterRetries {
  readonly #owner: RetriesOwner
  #refused: Part[] = []
  #isRecovering = false
  #isEnded = false
  #delayMs: number = retryDelayMs.first
  #timer: NodeJS.Timeout | null = null

  constructor(owner: RetriesOwner) {
    this.#owner = owner
  }

  /** While refused commands are sent again nothing may overtake them. */
  get areLeft(): boolean {
    return this.#refused.length > 0 || this.#isRecovering
  }

  settled(part: Part): void {
    if (part.verdict === 'done') this.#delayMs = retryDelayMs.first
    else this.#refused.push(part)
  }

  /** Nothing is under way. */
  recover(): void {
    const now = this.#owner.clock.nowMs()
    for (const part of this.#refused) if (part.entry.deadlineMs <= now) part.isDone = true
    this.#refused = this.#refused
      .filter((part) => !part.isDone)
      .toSorted((a, b) => this.#owner.order(a.entry, b.entry))
    this.#owner.give()
    const first = this.#refused[0]?.entry
    this.#isRecovering = first !== undefined
    if (first === undefined) this.#owner.over()
    else if (first.parts.every((part) => part.verdict !== 'later')) this.#sendAgain()
    else {
      this.#timer = setTimeout(() => this.#readMapAndSendAgain(), this.#delayMs)
      this.#delayMs = Math.min(this.#delayMs * 2, retryDelayMs.max)
    }
  }

  end(): void {
    this.#isEnded = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #readMapAndSendAgain(): void {
    const again = (): void => {
      if (!this.#isEnded) this.#sendAgain()
    }
    this.#owner.readMap().then(again, again)
  }

  #sendAgain(): void {
    const first = this.#refused[0]?.entry
    const again = this.#refused.filter((part) => part.entry === first)
    this.#refused = this.#refused.filter((part) => part.entry !== first)
    this.#owner.send(again)
  }
}

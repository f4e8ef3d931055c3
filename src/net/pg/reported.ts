/** ParameterStatus: what a client has been told, against what another server reports. */
import { parameterStatus } from '../../wire/pg/write.ts'

/** Messages that bring a client from `told` to `now`. */
export function reportedDifferences(
  told: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
): Buffer[] {
  const messages: Buffer[] = []
  for (const [name, value] of now) {
    if (told.get(name) !== value) messages.push(parameterStatus(name, value))
  }
  return messages
}

/**
 * Equal maps become the same object, so that the hot path compares by identity.
 * Bounded: when it is full it starts anew, which costs a few comparisons and nothing else.
 */
export class ReportedIntern {
  readonly #known = new Map<string, ReadonlyMap<string, string>>()

  get(reported: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    const key = JSON.stringify([...reported].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    const known = this.#known.get(key)
    if (known !== undefined) return known
    if (this.#known.size >= 1_000) this.#known.clear()
    this.#known.set(key, reported)
    return reported
  }
}

/** Major version of the server that has reported this; 0 when it gave none. */
export function serverMajor(reported: ReadonlyMap<string, string>): number {
  return Number.parseInt(reported.get('server_version') ?? '0', 10)
}

/** Whether there is a transaction_timeout, which ends the session together with the transaction. */
export function hasTransactionTimeout(reported: ReadonlyMap<string, string>): boolean {
  return serverMajor(reported) >= 17
}

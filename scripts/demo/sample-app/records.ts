/**
 * The records that one writer of the shop has begun, numbered, and which of them the database has
 * acknowledged. Nothing is ever repeated: what failed stays in doubt.
 */
export interface WriterRecords {
  readonly writer: number
  readonly begun: number
  /** Numbers of those that were begun and never acknowledged. */
  readonly inDoubt: readonly number[]
}

export class RecordLog {
  readonly #writer: number
  readonly #inDoubt = new Set<number>()
  #begun = 0

  constructor(writer: number) {
    this.#writer = writer
  }

  begin(): number {
    const number = this.#begun
    this.#begun += 1
    this.#inDoubt.add(number)
    return number
  }

  acknowledge(number: number): void {
    this.#inDoubt.delete(number)
  }

  /** What a record is called in its table. */
  reference(number: number): string {
    return `${this.#writer}-${number}`
  }

  snapshot(): WriterRecords {
    return { writer: this.#writer, begun: this.#begun, inDoubt: [...this.#inDoubt] }
  }
}

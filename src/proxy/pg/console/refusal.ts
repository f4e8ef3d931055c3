/** A command that the console does not carry out; the session goes on. */
export class ConsoleRefusal extends Error {
  override readonly name = 'ConsoleRefusal'
  readonly hint: string | undefined

  constructor(message: string, hint?: string) {
    super(message)
    this.hint = hint
  }
}

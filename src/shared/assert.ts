/**
 * Assertions for programmer errors: a failing one is a bug in Pontoon, so it ends the process.
 * Never assert on what a peer sent; that is a PontoonError.
 */
export class BugError extends Error {
  override readonly name = 'BugError'
}

export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new BugError(message)
}

/** The default branch of an exhaustive switch: a forgotten case does not compile. */
export function unreachable(value: never): never {
  throw new BugError(`unreachable: ${String(value)}`)
}

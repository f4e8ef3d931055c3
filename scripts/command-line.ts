/**
 * What the scripts have in common on the command line: mistakes are explained, signals end them in
 * order, and the exit code says how it went. Used by demo.ts and bench-pg.ts.
 */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

const exitCodes = { failed: 1, usage: 2, interrupted: 130 } as const

/**
 * Runs a script's body and sets the exit code. The first signal aborts the body, which then stops
 * what it has started; the second one leaves at once, and child-processes.ts ends what is left.
 */
export async function runScript(
  usage: string,
  body: (argv: readonly string[], signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (interrupted.signal.aborted) process.exit(exitCodes.interrupted)
      interrupted.abort(new Error(`ended by ${name}`))
    })
  }
  try {
    await body(process.argv.slice(2), interrupted.signal)
  } catch (error) {
    if (interrupted.signal.aborted) {
      console.error(String(interrupted.signal.reason))
      process.exitCode = exitCodes.interrupted
    } else if (error instanceof UsageError) {
      console.error(`${error.message}\n\n${usage}`)
      process.exitCode = exitCodes.usage
    } else {
      console.error(error instanceof Error ? error.message : error)
      process.exitCode = exitCodes.failed
    }
  }
}

export function parseWholeNumber(
  option: string,
  text: string,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isSafeInteger(value) && value >= min && value <= max) {
    return value
  }
  const limit = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`
  throw new UsageError(`--${option}: ${text} is not a whole number ${limit}`)
}

/**
 * Polls until it holds; fails with what was awaited when the deadline has passed, `untilMs` from now
 * at the earliest: how quick something is cannot be tested with it. A question that
 * costs something, such as a connection to a server, is followed by a rest as long as it took, so
 * that whoever waits does not slow down what it waits for.
 */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = untilMs,
): Promise<void> {
  const forMs = Math.max(deadlineMs, untilMs)
  const deadline = performance.now() + forMs
  for (;;) {
    const askedMs = performance.now()
    if (await holds()) return
    const nowMs = performance.now()
    if (nowMs > deadline) throw new Error(`not within ${forMs} ms: ${what}`)
    const restMs = Math.min(Math.max(nowMs - askedMs, restMsMin), restMsMax)
    await new Promise((resolve) => setTimeout(resolve, restMs))
  }
}

/** Far beyond what anything takes, so that a machine that is slow just then does not fail a test. */
export const untilMs = 30_000

const restMsMin = 5
const restMsMax = 100

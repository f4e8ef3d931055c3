/**
 * Polls until it holds; fails with what was awaited when the deadline has passed. A question that
 * costs something, such as a connection to a server, is followed by a rest as long as it took, so
 * that whoever waits does not slow down what it waits for.
 */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  deadlineMs = untilMs,
): Promise<void> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const askedMs = performance.now()
    if (await holds()) return
    const nowMs = performance.now()
    if (nowMs > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    const restMs = Math.min(Math.max(nowMs - askedMs, restMsMin), restMsMax)
    await new Promise((resolve) => setTimeout(resolve, restMs))
  }
}

/** Far beyond what anything takes, so that a machine that is slow just then does not fail a test. */
export const untilMs = 15_000

const restMsMin = 5
const restMsMax = 100

/**
 * Time, injectable so that tests need no sleeps.
 * `nowMs` is monotonic with sub-millisecond resolution; `wallMs` is for humans and journals only.
 */
export interface Clock {
  nowMs(): number
  wallMs(): number
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
}

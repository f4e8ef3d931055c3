/**
 * A fixed-bucket histogram cheap enough for the hot path: one array increment per observation.
 * control/metrics.ts turns it into Prometheus' cumulative form at scrape time.
 */
export class BucketHistogram {
  /** Upper bounds in seconds, ascending; one more bucket catches the rest. */
  readonly boundsSeconds: readonly number[]
  readonly counts: Float64Array
  sumSeconds = 0
  count = 0

  constructor(boundsSeconds: readonly number[] = latencyBoundsSeconds) {
    this.boundsSeconds = boundsSeconds
    this.counts = new Float64Array(boundsSeconds.length + 1)
  }

  observe(seconds: number): void {
    const bounds = this.boundsSeconds
    let index = 0
    while (index < bounds.length && seconds > (bounds[index] ?? Infinity)) index += 1
    this.counts[index] = (this.counts[index] ?? 0) + 1
    this.sumSeconds += seconds
    this.count += 1
  }

  /** An upper estimate of the quantile (0..1): the bound of the bucket it falls in, 0 when empty. */
  quantileSeconds(quantile: number): number {
    let remaining = Math.ceil(this.count * quantile)
    if (remaining === 0) return 0
    for (let index = 0; index < this.counts.length; index += 1) {
      remaining -= this.counts[index] ?? 0
      if (remaining <= 0)
        return this.boundsSeconds[Math.min(index, this.boundsSeconds.length - 1)] ?? 0
    }
    return this.boundsSeconds.at(-1) ?? 0
  }
}

/** 100 µs to 60 s, roughly three per decade. */
export const latencyBoundsSeconds: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
  30, 60,
]

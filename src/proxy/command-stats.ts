/**
 * What a service tells of single commands, where its protocol has such: Redis. Plain counters,
 * read at scrape time.
 */
import type { BucketHistogram } from '../shared/histogram.ts'

export interface CommandCount {
  /** In lower case; of a subcommand `container|name`. */
  readonly command: string
  readonly calls: number
  /** Replies that were errors. */
  readonly errors: number
}

export interface SlowCommand {
  readonly command: string
  readonly tookMs: number
  /** Wall-clock milliseconds when its reply came. */
  readonly atMs: number
}

export interface HotKey {
  readonly key: string
  /** Of a hundred commands sampled of late that have one key. */
  readonly percent: number
}

export interface BigValue {
  readonly command: string
  readonly key: string
  readonly bytes: number
}

export interface CommandSnapshot {
  /** Most called first, those never called left out. */
  readonly commands: readonly CommandCount[]
  /** The latest first. */
  readonly slow: readonly SlowCommand[]
  /** Hottest first. */
  readonly hotKeys: readonly HotKey[]
  /** The largest commands, and replies of those sampled, of late and over 64 KiB. */
  readonly bigValues: readonly BigValue[]
}

export interface CommandStats {
  snapshot(): CommandSnapshot
  /** How long commands took, by family. */
  families(): Iterable<readonly [string, BucketHistogram]>
}

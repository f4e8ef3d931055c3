/** Durations as people type them: 500ms, 5s, 2m; a bare number counts seconds. */
import { PontoonError } from '../shared/errors.ts'

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

/** Whole milliseconds. Throws USAGE; `option` names it. */
export function parseDuration(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text)
  const ms = Number(match?.[1]) * (unitMs[match?.[2] ?? 's'] ?? Number.NaN)
  if (!Number.isFinite(ms) || ms < 1) {
    throw new PontoonError(
      'USAGE',
      `${option}: '${text}' is not a duration such as 500ms, 5s or 1m.`,
    )
  }
  return Math.round(ms)
}

export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  if (ms < 120_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`
  return `${Math.round(ms / 60_000)} min`
}

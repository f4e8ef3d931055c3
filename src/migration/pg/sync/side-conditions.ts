/** Conditions about the sides themselves: marks, fence, who is connected past it. */
import { otherSide, type Side } from '../../../shared/side.ts'
import { afterwardsOf } from '../left-side-words.ts'
import { condition, list, type Condition } from './condition.ts'
import type { Standing } from './standing.ts'

export interface SidesInput {
  /** The side that takes the writes, and the epoch of the route where it is known. */
  readonly primary: Side
  readonly epoch: number | null
  readonly standings: Readonly<Record<Side, Standing>>
}

export function sideConditions(input: SidesInput): readonly Condition[] {
  const other = input.standings[otherSide(input.primary)]
  const { side, visitors } = other
  return [
    marks(input),
    parted(input),
    fence(other),
    condition(
      'bypass',
      visitors.length === 0,
      `nobody is connected to the ${side} past Pontoon`,
      `connected to the ${side} past Pontoon, where what they write is lost: ${list(visitors)}. ` +
        'End them, or name their role in migration.keepRoles if it only reads',
    ),
  ]
}

function marks({ primary, epoch, standings }: SidesInput): Condition {
  const both = [standings.source, standings.target]
  const missing = both.filter(({ mark }) => mark === undefined).map(({ side }) => side)
  const wrong = both.flatMap(({ side, mark }) =>
    mark !== undefined && (mark.primary !== primary || (epoch !== null && mark.epoch > epoch))
      ? [`the ${side} names the ${mark.primary} since epoch ${mark.epoch}`]
      : [],
  )
  const why =
    wrong.length > 0
      ? `which side takes the writes is in doubt: ${wrong.join(', ')}, and the route names the ` +
        `${primary}${epoch === null ? '' : ` in epoch ${epoch}`}. Find out which of them is right ` +
        'before anything is written; docs/runbooks.md has how'
      : `there is no mark on the ${missing.join(' and the ')}: run pontoon schema`
  return condition(
    'marks',
    missing.length === 0 && wrong.length === 0,
    `both databases name the ${primary} as the side that takes the writes`,
    why,
  )
}

function parted({ primary, standings }: SidesInput): Condition {
  const other = otherSide(primary)
  const isParted = [standings.source, standings.target].some(({ mark }) => mark?.parted === other)
  return condition(
    'parted',
    !isParted,
    'both sides have one history',
    `the sides have parted ways: a forced switch has left the ${other}, which may have changes that ` +
      `the ${primary} lacks, and nothing replicates between them; ${afterwardsOf(other)}`,
  )
}

function fence({ side, isFenced, holes }: Standing): Condition {
  const again = side === 'target' ? 'cutover' : 'rollback'
  const why = isFenced
    ? `may connect to the ${side} in spite of its fence: ${list(holes)}. REVOKE CONNECT ON ` +
      'DATABASE from them, or name them in migration.keepRoles if they only read'
    : `application writers may write to the ${side}: pontoon ${again} SERVICE --dry-run fences it`
  return condition(
    'fence',
    isFenced && holes.length === 0,
    `the ${side} refuses application writers`,
    why,
  )
}

/**
 * A cutover or rollback under way, as the store keeps it beside the route of the service. Its
 * `state` is the one key on which everything turns: of `started → committed` (with the new route,
 * in the same write) and `started → aborting` exactly one happens, whoever asks and however often
 * the process dies. The record goes when what was decided has been carried out.
 *
 * A forced switch, away from a side that is lost, may take the place of one that was decided and
 * cannot be carried out without that side: until it is committed it keeps that one, in `over`.
 */
import { z } from 'zod'
import { PontoonError } from '../shared/errors.ts'
import { otherSide } from '../shared/side.ts'

export const switchKinds = ['cutover', 'rollback'] as const
export type SwitchKind = (typeof switchKinds)[number]

export const switchStates = ['started', 'committed', 'aborting'] as const
export type SwitchState = (typeof switchStates)[number]

const side = z.enum(['source', 'target'])

const decidedSchema = z.strictObject({
  id: z.string().min(1),
  kind: z.enum(switchKinds),
  from: side,
  to: side,
  /** Of the route that it began with. */
  epoch: z.number().int().min(1),
  state: z.enum(switchStates),
  /** Wall clock milliseconds. */
  startedAtMs: z.number(),
  /** Who asked for it, for the audit log of a recovery. */
  actor: z.string(),
  /** Forced: `from` could not be reached. */
  primaryLost: z.boolean(),
})

export const switchSchema = decidedSchema.extend({
  /** What comes back when a forced switch is withdrawn. */
  over: decidedSchema.nullable(),
})

export type SwitchRecord = Readonly<z.infer<typeof switchSchema>>

export type DecidedRecord = NonNullable<SwitchRecord['over']>

/** What a forced switch keeps of the one whose place it takes. */
export function keptOf({ over: _over, ...record }: SwitchRecord): DecidedRecord {
  return record
}

/** How the record of a switch begins; a forced one says so besides. */
export function startedRecord(
  { id, kind, actor }: Pick<SwitchRecord, 'id' | 'kind' | 'actor'>,
  epoch: number,
  startedAtMs: number,
): SwitchRecord {
  const to = kind === 'cutover' ? 'target' : 'source'
  const fixed = { state: 'started', primaryLost: false, over: null } as const
  return { id, kind, from: otherSide(to), to, epoch, startedAtMs, actor, ...fixed }
}

/** The record that `id` means. Throws SWITCH_DECIDED. */
export function sameSwitch(record: SwitchRecord | undefined, id: string): SwitchRecord {
  if (record?.id === id) return record
  throw new PontoonError('SWITCH_DECIDED', `switch ${id} is over`)
}

/** Throws SWITCH_DECIDED when it was decided the other way. */
export function decide(record: SwitchRecord, state: 'committed' | 'aborting'): SwitchRecord {
  if (record.state === 'started') return { ...record, state, over: null }
  throw new PontoonError('SWITCH_DECIDED', `switch ${record.id} is ${record.state} already`)
}

/** Whether the store still knows it: as the one under way, or as the one that comes back. */
export function isPending(record: SwitchRecord | undefined, id: string): boolean {
  return record?.id === id || record?.over?.id === id
}

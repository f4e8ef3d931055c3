/**
 * A cutover or rollback under way, as the store keeps it beside the route of the service. Its
 * `state` is the one key on which everything turns: of `started → committed` (with the new route,
 * in the same write) and `started → aborting` exactly one happens, whoever asks and however often
 * the process dies. The record goes when what was decided has been carried out.
 */
import { z } from 'zod'
import { PontoonError } from '../shared/errors.ts'

export const switchKinds = ['cutover', 'rollback'] as const
export type SwitchKind = (typeof switchKinds)[number]

export const switchStates = ['started', 'committed', 'aborting'] as const
export type SwitchState = (typeof switchStates)[number]

const side = z.enum(['source', 'target'])

export const switchSchema = z.strictObject({
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
})

export type SwitchRecord = Readonly<z.infer<typeof switchSchema>>

/** The record that `id` means. Throws SWITCH_DECIDED. */
export function sameSwitch(record: SwitchRecord | undefined, id: string): SwitchRecord {
  if (record?.id === id) return record
  throw new PontoonError('SWITCH_DECIDED', `switch ${id} is over`)
}

/** Throws SWITCH_DECIDED when it was decided the other way. */
export function decide(record: SwitchRecord, state: 'committed' | 'aborting'): SwitchRecord {
  if (record.state === 'started') return { ...record, state }
  throw new PontoonError('SWITCH_DECIDED', `switch ${record.id} is ${record.state} already`)
}

/**
 * One switch at a time in a pair of databases, whoever runs it. The store keeps that promise within
 * one sidecar; a second one with a folder of its own, on another host, is only met in the databases.
 */
import { lockSession } from '../session-lock.ts'
import type { SwitchSide, SwitchSides } from './switch-sides.ts'

/** 'port' and 'swit'. */
export const switchLockKeys = '1886351988, 1937205620'
const patienceMs = 3_000

/**
 * Held until the control connections are closed. Rejects with MIGRATION_REFUSED naming the holder.
 */
export async function lockSwitch({ from, to }: SwitchSides, signal: AbortSignal): Promise<void> {
  // The same order for both directions, so that two of them cannot hold one side each.
  const [first, second] = from.side === 'source' ? [from, to] : [to, from]
  for (const side of [first, second]) await lockSide(side, signal)
}

/** As lockSwitch(), for those who have one side only. */
export async function lockSide(
  { side, control }: Pick<SwitchSide, 'side' | 'control'>,
  signal: AbortSignal,
): Promise<void> {
  const refusal = (holder: string): string =>
    `another Pontoon is switching this database: ${side} is locked by ${holder}; ` +
    'wait until that one has ended'
  await lockSession(control, { keys: switchLockKeys, patienceMs, refusal }, signal)
}

/**
 * Where one request goes in a cluster: to the node of a slot, to any node, to every primary, split
 * by the slots of its keys, or nowhere. Pure. Neighbours: command-keys.ts, hash-slot.ts;
 * proxy/redis/cluster-connection.ts carries it out.
 */
import type { CommandFacts } from './command-facts.ts'
import { findKeys, type Arguments, type KeyList } from './command-keys.ts'
import { hashSlot } from './hash-slot.ts'

export type ClusterPlan =
  | { readonly kind: 'slot'; readonly slot: number }
  | { readonly kind: 'any' }
  | { readonly kind: 'all' }
  | { readonly kind: 'split'; readonly groups: readonly KeyGroup[] }
  | { readonly kind: 'refused'; readonly words: string }

/** Keys of one slot. */
export interface KeyGroup {
  readonly slot: number
  /** Which of the request's keys, counted from 0, in their order. */
  readonly keys: readonly number[]
}

const anyNode: ClusterPlan = { kind: 'any' }
const everyNode: ClusterPlan = { kind: 'all' }

/** A key in an error message is no longer than this. */
const shownBytesMax = 40

/** `splitMset`: MSET may lose its atomicity. `keys` is the caller's, used again. */
export function clusterPlan(
  facts: CommandFacts,
  request: Arguments,
  keys: KeyList,
  splitMset: boolean,
): ClusterPlan {
  findKeys(facts, request, keys, true)
  if (keys.count === 0) return facts.spread === 'all' ? everyNode : anyNode
  const slot = slotOfKey(request, keys.at(0))
  for (let index = 1; index < keys.count; index++) {
    const other = slotOfKey(request, keys.at(index))
    if (other === slot) continue
    if (maySplit(facts, splitMset)) return { kind: 'split', groups: groupsOf(request, keys) }
    return { kind: 'refused', words: crossSlotWords(facts, request, keys.at(0), keys.at(index)) }
  }
  return { kind: 'slot', slot }
}

/** MSETNX promises all or nothing, which no split can keep; MSET promises it too, but weakly. */
function maySplit({ name, spread }: CommandFacts, splitMset: boolean): boolean {
  if (spread !== 'keys' || name === 'msetnx') return false
  return name !== 'mset' || splitMset
}

function groupsOf(request: Arguments, keys: KeyList): KeyGroup[] {
  const groups = new Map<number, number[]>()
  for (let index = 0; index < keys.count; index++) {
    const slot = slotOfKey(request, keys.at(index))
    const group = groups.get(slot)
    if (group === undefined) groups.set(slot, [index])
    else group.push(index)
  }
  return [...groups].map(([slot, members]) => ({ slot, keys: members }))
}

export function slotOfKey({ bytes, starts, ends }: Arguments, argument: number): number {
  return hashSlot(bytes, starts[argument] ?? 0, ends[argument] ?? 0)
}

function crossSlotWords(
  { name }: CommandFacts,
  request: Arguments,
  one: number,
  other: number,
): string {
  const shown = (argument: number): string => {
    const start = request.starts[argument] ?? 0
    const end = Math.min(request.ends[argument] ?? 0, start + shownBytesMax)
    const key = Buffer.from(request.bytes.subarray(start, end)).toString('latin1')
    return `'${key.replace(/[^\x20-\x7e]/g, '.')}' (slot ${slotOfKey(request, argument)})`
  }
  const remedy =
    name === 'mset'
      ? 'or allow clusterMset: split, which gives up its atomicity'
      : 'or use one command per slot'
  return (
    `CROSSSLOT Keys in request don't hash to the same slot: the database behind Pontoon is a ` +
    `cluster, and ${shown(one)} and ${shown(other)} live in different parts of it. ` +
    `Give keys that are used together a common {hash tag}, ${remedy}`
  )
}

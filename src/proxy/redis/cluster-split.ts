/**
 * The requests that one command becomes whose keys are in several slots: one for each slot, with
 * the keys there. Pure. Neighbours: routing/redis/cluster-plan.ts, which says whether it may be
 * split; cluster-merge.ts, which makes one reply of theirs.
 */
import type { KeyGroup } from '../../routing/redis/cluster-plan.ts'
import type { Arguments, KeyList } from '../../routing/redis/command-keys.ts'
import { command } from '../../wire/redis/write.ts'

/** In the order of `groups`. `name` is that of the command, `keys` are those of `request`. */
export function splitRequests(
  name: string,
  { bytes, starts, ends }: Arguments,
  keys: KeyList,
  groups: readonly KeyGroup[],
): (readonly [slot: number, request: Buffer])[] {
  const word = (argument: number): Buffer =>
    Buffer.from(bytes.subarray(starts[argument] ?? 0, ends[argument] ?? 0))
  return groups.map(({ slot, keys: places }) => {
    const args = places.flatMap((key) => {
      const at = keys.at(key)
      return name === 'mset' ? [word(at), word(at + 1)] : [word(at)]
    })
    return [slot, command(word(0), ...args)]
  })
}

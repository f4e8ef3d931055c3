/**
 * Makes one reply of the replies of several nodes. Pure, on bytes; only commands that went to more
 * than one node come here. Neighbour: cluster-entry.ts.
 */
import type { Merge } from '../../routing/redis/command-facts.ts'
import { unreachable } from '../../shared/assert.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { ReplyFramer } from '../../wire/redis/reply-framer.ts'

/**
 * `orders`: for each reply the places of its items in the whole, for keys that were split. An error
 * of any node is the reply, except where one success is enough.
 */
export function mergeReplies(
  merge: Merge,
  replies: readonly Buffer[],
  orders: readonly (readonly number[])[] | null,
): Buffer {
  const errors = replies.filter((reply) => reply[0] === marker.error)
  const good = replies.filter((reply) => reply[0] !== marker.error)
  const [firstError] = errors
  const [first] = good
  if (first === undefined || (firstError !== undefined && merge !== 'any')) {
    return firstError ?? Buffer.from('-ERR no node answered\r\n')
  }
  switch (merge) {
    case 'sum':
      return numberReply(good.map(numberOf).reduce((sum, value) => sum + value, 0))
    case 'same':
    case 'any':
      return first
    case 'least':
      return first[0] === marker.array ? leastOfEach(good) : numberReply(leastOf(good))
    case 'join':
      return first[0] === marker.array || first[0] === marker.set
        ? joined(good, orders)
        : (good.find((reply) => !isNull(reply)) ?? first)
    default:
      return unreachable(merge)
  }
}

/** The items of an array or set, as they stand. */
export function itemsOf(reply: Buffer): Buffer[] {
  const framer = new ReplyFramer()
  const items: Buffer[] = []
  let at = reply.indexOf(0x0a) + 1
  while (at > 0 && at < reply.length) {
    const next = framer.next(reply, at, reply.length)
    if (next < 0) break
    items.push(reply.subarray(at, next))
    at = next
  }
  return items
}

function joined(replies: readonly Buffer[], orders: readonly (readonly number[])[] | null): Buffer {
  const items: Buffer[] = []
  for (const [index, reply] of replies.entries()) {
    for (const [place, item] of itemsOf(reply).entries()) {
      const position = orders?.[index]?.[place]
      if (position === undefined) items.push(item)
      else items[position] = item
    }
  }
  return Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...items])
}

function leastOfEach(replies: readonly Buffer[]): Buffer {
  const columns = replies.map(itemsOf)
  const rows = (columns[0] ?? []).map((_, row) =>
    numberReply(leastOf(columns.map((column) => column[row] ?? numberReply(0)))),
  )
  return Buffer.concat([Buffer.from(`*${rows.length}\r\n`), ...rows])
}

function leastOf(replies: readonly Buffer[]): number {
  return Math.min(...replies.map(numberOf))
}

function numberOf(reply: Buffer): number {
  return Number(reply.toString('latin1', 1, reply.length - 2))
}

function numberReply(value: number): Buffer {
  return Buffer.from(`:${value}\r\n`)
}

function isNull(reply: Buffer): boolean {
  return reply[0] === marker.null || reply.toString('latin1', 0, 3) === '$-1'
}

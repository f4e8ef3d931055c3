/**
 * SCAN over all nodes of a cluster, one after the other: the cursor that the client sees carries the
 * number of the node beside the node's own cursor. Neighbour: cluster-connection.ts.
 */
import type { Endpoint } from '../../net/address.ts'
import type { Arguments } from '../../routing/redis/command-keys.ts'
import { readArguments } from '../../wire/redis/arguments.ts'
import { command, errorReply } from '../../wire/redis/write.ts'
import { marker } from '../../wire/redis/protocol.ts'
import { itemsOf } from './cluster-merge.ts'

/** A cursor of ours is a node's cursor times this, plus the number of the node. */
const nodesMax = 1_024n
const cursorMax = 2n ** 64n

export interface ClusterScan {
  readonly node: Endpoint
  readonly request: Buffer
  readonly rewrite: (reply: Buffer) => Buffer
}

/** An error reply when the cursor is none of ours. */
export function scanEntry(
  { count }: Arguments,
  nodes: readonly Endpoint[],
  bytes: Buffer,
): ClusterScan | Buffer {
  if (count < 2) return errorReply("ERR wrong number of arguments for 'scan' command")
  const [name, cursor, ...options] = readArguments(bytes, 0, bytes.length)
  const ours = cursor?.toString('latin1') ?? ''
  if (name === undefined || !/^\d{1,20}$/.test(ours) || BigInt(ours) >= cursorMax)
    return errorReply('ERR invalid cursor')
  const index = Number(BigInt(ours) % nodesMax)
  const node = nodes[index]
  if (node === undefined) return errorReply('ERR invalid cursor')
  return {
    node,
    request: command(name, String(BigInt(ours) / nodesMax), ...options),
    rewrite: (reply) => withCursor(reply, index, nodes.length),
  }
}

function withCursor(reply: Buffer, index: number, nodeCount: number): Buffer {
  if (reply[0] !== marker.array) return reply
  const [cursor, found] = itemsOf(reply)
  if (cursor === undefined || found === undefined) return reply
  const theirs = BigInt(cursor.toString('latin1', cursor.indexOf(0x0a) + 1).trim())
  const isLast = theirs === 0n && index + 1 === nodeCount
  // At the end of a node the next one begins.
  const place = theirs === 0n ? index + 1 : index
  const ours = isLast ? '0' : String(theirs * nodesMax + BigInt(place))
  return Buffer.concat([Buffer.from(`*2\r\n$${ours.length}\r\n${ours}\r\n`), found])
}

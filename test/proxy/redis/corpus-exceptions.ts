/**
 * Where a reply through Pontoon need not be the direct one byte for byte, each with its reason.
 * Reviewed: an entry here says either that two direct connections would differ as well, or what
 * Pontoon does on purpose. Used by transparency.test.ts.
 */
import { RespError, RespPush } from '../../support/resp.ts'
import type { RespValue } from '../../support/resp.ts'

export interface Exception {
  /** Matches the line of the corpus. */
  readonly line: RegExp
  /** `shape`: types and lengths must still agree. `any`: nothing need. */
  readonly compare: 'shape' | 'any'
  /** Both modes unless named. */
  readonly mode?: 'multiplexed'
  readonly reason: string
}

export const exceptions: readonly Exception[] = [
  {
    line: /^(?:CLIENT ID|CLIENT INFO|HELLO 3|HELLO 2)/,
    compare: 'shape',
    reason: 'each connection has an id, an address and an age of its own',
  },
  {
    line: /^(?:INFO|TIME|LASTSAVE|MEMORY|LATENCY DOCTOR|LATENCY HISTOGRAM|FUNCTION STATS)/,
    compare: 'shape',
    reason: 'time, memory and counters of the server move on between the two runs',
  },
  {
    line: /^(?:P?TTL|OBJECT IDLETIME|XINFO CONSUMERS|XINFO STREAM t FULL|XPENDING s g - )/,
    compare: 'shape',
    reason: 'time passes between the two runs',
  },
  {
    line: /^COMMAND$/,
    compare: 'any',
    reason: 'the server lists commands in the order of a hash table, which it may rearrange',
  },
  {
    line: /^(?:AUTH|ACL WHOAMI)/,
    compare: 'any',
    mode: 'multiplexed',
    reason: 'who may come in is up to Pontoon, which here trusts everybody',
  },
  {
    line: /^SLOWLOG (?:GET|LEN)/,
    compare: 'any',
    reason: 'a command is slow or not as the machine is busy or not',
  },
  {
    line: /^ACL LOG$/,
    compare: 'any',
    mode: 'multiplexed',
    reason: 'the wrong password was asked of Pontoon, not of the server',
  },
  { line: /^XADD s \*/, compare: 'shape', reason: 'the id is the time' },
  {
    line: /^(?:ACL GENPASS|ACL LOG$|RANDOMKEY|HRANDFIELD|ZRANDMEMBER lex 2)/,
    compare: 'shape',
    reason: 'random, or tells of addresses and ages',
  },
]

/** What is left of a reply when values do not matter. Map keys do, and so does an error's kind. */
export function shapeOf(value: RespValue): unknown {
  if (value instanceof RespError) return `error ${value.message.split(' ', 1).join('')}`
  if (value instanceof RespPush) return { push: value.items.map(shapeOf) }
  if (value instanceof Map) return [...value].map(([key, item]) => [key, shapeOf(item)])
  if (value instanceof Set) return { set: [...value].map(shapeOf) }
  if (Array.isArray(value)) return value.map(shapeOf)
  return value === null ? 'null' : typeof value
}

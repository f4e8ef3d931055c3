/**
 * RESP2 and RESP3 replies for tests, written apart from the product's own framer so that the two
 * can be held against each other: where a reply ends, and what it says.
 * https://redis.io/docs/latest/develop/reference/protocol-spec/
 */

export class RespError {
  readonly message: string
  constructor(message: string) {
    this.message = message
  }
}

/** Out of band, RESP3 only: messages, invalidations. */
export class RespPush {
  readonly items: readonly RespValue[]
  constructor(items: readonly RespValue[]) {
    this.items = items
  }
}

/** Strings are latin1, so that any bytes survive; doubles and verbatim strings keep their text. */
export type RespValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | RespError
  | RespPush
  | RespValue[]
  | Set<RespValue>
  | Map<RespValue, RespValue>

export interface RespReply {
  /** Exactly what came over the wire. */
  readonly bytes: Buffer
  readonly value: RespValue
}

/** Undefined while the reply at `from` is not whole. Throws at what is no RESP. */
export function readReply(bytes: Buffer, from = 0): RespReply | undefined {
  const reader = new Reader(bytes, from)
  const value = reader.value()
  return value === incomplete ? undefined : { bytes: bytes.subarray(from, reader.at), value }
}

const incomplete = Symbol('incomplete')
type Incomplete = typeof incomplete

class Reader {
  readonly #bytes: Buffer
  at: number

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.at = at
  }

  value(): RespValue | Incomplete {
    const line = this.#line()
    if (line === incomplete) return incomplete
    const [type, rest] = [line.charAt(0), line.slice(1)]
    switch (type) {
      case '+':
        return rest
      case '-':
        return new RespError(rest)
      case ':':
        return Number(rest)
      case '(':
        return BigInt(rest)
      case ',':
        return `double:${rest}`
      case '_':
        return null
      case '#':
        return rest === 't'
      case '$':
        return this.#bulk(Number(rest))
      case '!':
        return this.#bulkError(Number(rest))
      case '=':
        return this.#bulk(Number(rest))
      case '*':
        return Number(rest) < 0 ? null : this.#items(Number(rest))
      case '~':
        return wrap(this.#items(Number(rest)), (items) => new Set(items))
      case '>':
        return wrap(this.#items(Number(rest)), (items) => new RespPush(items))
      case '%':
        return wrap(this.#items(2 * Number(rest)), toMap)
      case '|':
        return this.#attributed(Number(rest))
      default:
        throw new Error(`no RESP: ${JSON.stringify(line)}`)
    }
  }

  /** Attributes come before the reply that they describe; only that one is the value. */
  #attributed(count: number): RespValue | Incomplete {
    return this.#items(2 * count) === incomplete ? incomplete : this.value()
  }

  #items(count: number): RespValue[] | Incomplete {
    const items: RespValue[] = []
    for (let index = 0; index < count; index += 1) {
      const item = this.value()
      if (item === incomplete) return incomplete
      items.push(item)
    }
    return items
  }

  #bulkError(length: number): RespError | Incomplete {
    const text = this.#bulk(length)
    return text === incomplete ? incomplete : new RespError(text ?? '')
  }

  #bulk(length: number): string | null | Incomplete {
    if (length < 0) return null
    if (this.at + length + 2 > this.#bytes.length) return incomplete
    const text = this.#bytes.toString('latin1', this.at, this.at + length)
    this.at += length + 2
    return text
  }

  #line(): string | Incomplete {
    const end = this.#bytes.indexOf('\r\n', this.at)
    if (end < 0) return incomplete
    const line = this.#bytes.toString('latin1', this.at, end)
    this.at = end + 2
    return line
  }
}

function wrap(
  items: RespValue[] | Incomplete,
  make: (items: RespValue[]) => RespValue,
): RespValue | Incomplete {
  return items === incomplete ? incomplete : make(items)
}

function toMap(items: readonly RespValue[]): Map<RespValue, RespValue> {
  const map = new Map<RespValue, RespValue>()
  for (let at = 0; at + 1 < items.length; at += 2) map.set(items[at] ?? null, items[at + 1] ?? null)
  return map
}

/** A reply as text, for what is known to be text or a number. */
export function textOf(value: RespValue | undefined): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (value instanceof RespError) return value.message
  throw new Error(`no text: ${JSON.stringify(value)}`)
}

/** The items of an array or set. */
export function itemsOf(value: RespValue | undefined): readonly RespValue[] {
  if (value instanceof Set) return [...value]
  return Array.isArray(value) ? value : []
}

/** A request as clients send it: an array of bulk strings. */
export function encodeCommand(...args: readonly (string | number | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)]
  for (const arg of args) {
    const bytes = Buffer.isBuffer(arg) ? arg : Buffer.from(String(arg))
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}

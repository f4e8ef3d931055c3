/** Reads a HELLO: it may change the version of the protocol, who the client is, and its name. */
import type { RespVersion } from '../../net/redis/login.ts'
import { wordsOf } from '../../wire/redis/arguments.ts'
import { errorReply } from '../../wire/redis/write.ts'

/** What a HELLO asks for, or the error it gets. */
export interface Hello {
  readonly version: RespVersion | null
  readonly login: readonly [user: Buffer, password: Buffer] | null
  readonly name: string | null
  readonly error: Buffer | null
}

export function readHello(words: readonly Buffer[]): Hello {
  const nothing: Hello = { version: null, login: null, name: null, error: null }
  const [, asked] = words
  if (asked === undefined) return nothing
  const text = asked.toString('latin1')
  const wrong = (reply: string): Hello => ({ ...nothing, error: errorReply(reply) })
  if (!/^-?\d{1,18}$/.test(text))
    return wrong('ERR Protocol version is not an integer or out of range')
  if (text !== '2' && text !== '3') return wrong('NOPROTO unsupported protocol version')
  let hello: Hello = { ...nothing, version: text === '3' ? 3 : 2 }
  for (let at = 2; at < words.length;) {
    const option = words[at]?.toString('latin1').toUpperCase()
    const [first, second] = [words[at + 1], words[at + 2]]
    if (option === 'AUTH' && first !== undefined && second !== undefined) {
      hello = { ...hello, login: [first, second] }
      at += 3
    } else if (option === 'SETNAME' && first !== undefined) {
      hello = { ...hello, name: first.toString() }
      at += 2
    } else return wrong(`ERR Syntax error in HELLO option '${words[at]?.toString() ?? ''}'`)
  }
  return hello
}

/** Null when the HELLO `bytes[start, end)` asks for none, or wrongly, or is not whole (`end` -1). */
export function versionAsked(bytes: Buffer, start: number, end: number): RespVersion | null {
  return end < 0 ? null : readHello(wordsOf(bytes.subarray(start, end))).version
}

/**
 * The CLIENT command of a client that shares servers. The clients it names, lists and ends are those
 * of the service, never Pontoon's own connections, which many of them use at once.
 */
import {
  bulkReply,
  command,
  errorReply,
  integerReply,
  nullReply,
  okReply,
} from '../../wire/redis/write.ts'
import { assert } from '../../shared/assert.ts'
import type { CommandRecord } from './command-book.ts'
import type { Session } from './session.ts'
import type { StandInAnswer } from './stand-ins.ts'

export const wrongName = errorReply(
  'ERR Client names cannot contain spaces, newlines or special characters.',
)
const syntaxError = errorReply('ERR syntax error')

export function isClientName(name: string): boolean {
  return /^[!-~]*$/.test(name)
}

const noRedirect = errorReply('ERR The client ID you want redirect to does not exist')

interface Redirect {
  readonly id: number
  readonly serverId: string
}

export class ClientCommands {
  readonly #session: Session
  /** Whom its invalidations were to go to last, by the id here and on the server. */
  #redirect: Redirect | null = null
  /** What the server has said to a GETREDIR that waits for that. */
  #saidRedirect: string | null = null

  constructor(session: Session) {
    this.#session = session
  }

  /** False while it waits for a server. */
  run(record: CommandRecord, words: readonly Buffer[]): boolean {
    const session = this.#session
    const texts = words.map((word) => word.toString())
    const said = this.#say(record, texts)
    if (said !== null) return this.#answer(said)
    switch (record.name) {
      case 'client|kill':
        return this.#kill(texts)
      case 'client|unblock':
        return this.#unblock(record, texts)
      case 'client|reply':
        return this.#reply(record, words, texts[2]?.toLowerCase() ?? '')
      case 'client|tracking':
        return this.#tracking(record, words, texts)
      case 'client|getredir':
        return this.#getRedirect(record, words)
      default:
        // What is left is answered alike by every server, as CLIENT HELP.
        return session.sendShared(record, command(...words))
    }
  }

  /** What Pontoon knows without a server; null for the rest. */
  #say({ name }: CommandRecord, texts: readonly string[]): Buffer | null {
    const session = this.#session
    switch (name) {
      case 'client|setname':
        return this.#setName(texts[2])
      case 'client|getname':
        return session.name === '' ? nullReply(session.version) : bulkReply(session.name)
      case 'client|setinfo':
        return this.#setInfo(texts)
      case 'client|id':
        return integerReply(session.id)
      case 'client|info':
        return verbatim(`${describe(session)}\n`, session)
      case 'client|list':
        return this.#list(texts)
      default:
        return null
    }
  }

  /** As in SessionCommands. */
  inTransaction(record: CommandRecord, words: readonly Buffer[]): StandInAnswer | Buffer | null {
    const texts = words.map((word) => word.toString())
    switch (record.name) {
      case 'client|reply':
        return replyInTransaction(this.#session, texts[2]?.toLowerCase() ?? '')
      case 'client|kill':
        return () => {
          const { reply, killed } = this.#found(texts)
          // It may be one of them, and is to hear of it.
          setImmediate(() => {
            for (const one of killed) one.close()
          })
          return reply
        }
      case 'client|tracking':
        return this.#trackingRequest(words, texts) ?? ((): Buffer => noRedirect)
      case 'client|unblock':
        return this.#unblocking(texts) ?? ((): Buffer => integerReply(0))
      default:
        return said.test(record.name) ? (): Buffer | null => this.#say(record, texts) : null
    }
  }

  #answer(reply: Buffer): boolean {
    this.#session.answer(reply)
    return true
  }

  #reply(record: CommandRecord, words: readonly Buffer[], mode: string): boolean {
    const session = this.#session
    // The server says itself that there is no such mode.
    if (!session.replies.take(mode)) return session.sendShared(record, command(...words))
    return mode === 'on' ? this.#answer(okReply) : true
  }

  #setName(name = ''): Buffer {
    if (!isClientName(name)) return wrongName
    this.#session.name = name
    return okReply
  }

  #setInfo([, , attribute = '', value = '']: readonly string[]): Buffer {
    const what = attribute.toLowerCase()
    if (what !== 'lib-name' && what !== 'lib-ver')
      return errorReply(`ERR Unrecognized option '${attribute}'`)
    if (!isClientName(value))
      return errorReply(`ERR ${what} cannot contain spaces, newlines or special characters.`)
    if (what === 'lib-name') this.#session.libraryName = value
    else this.#session.libraryVersion = value
    return okReply
  }

  #list(texts: readonly string[]): Buffer {
    const session = this.#session
    const filter = readFilter(texts.slice(2), listedIds)
    if (Buffer.isBuffer(filter)) return filter
    const lines = [...session.context.sessions.values()]
      .filter((one) => !one.isClosed && filter.every((holds) => holds(one)))
      .map((one) => `${describe(one)}\n`)
    return verbatim(lines.join(''), session)
  }

  #kill(texts: readonly string[]): boolean {
    const session = this.#session
    const { reply, killed } = this.#found(texts)
    const isEnding = killed.includes(session) && this.#endAtItsPlace(reply)
    if (!isEnding) this.#answer(reply)
    for (const one of killed) if (!isEnding || one !== session) one.close()
    return true
  }

  /** Where the server has to say first what it owes (MONITOR); nothing behind it is carried out. */
  #endAtItsPlace(reply: Buffer): boolean {
    const session = this.#session
    const isLater = session.own?.subscriber.answer(() => {
      setImmediate(() => session.close())
      return reply
    })
    if (isLater !== true) return false
    // Where CLIENT REPLY keeps that back, the end of the server's connection tells.
    session.own?.hangUp()
    session.waitFor(new Promise(() => undefined))
    return true
  }

  /** Whom CLIENT KILL ends, and what it says. */
  #found(texts: readonly string[]): { readonly reply: Buffer; readonly killed: Session[] } {
    const session = this.#session
    const [, , first = '', ...rest] = texts
    const isOld = rest.length === 0
    const isThere: Holds = (one) => one.address === first
    const filter = isOld ? [isThere] : readFilter([first, ...rest], killedIds)
    if (Buffer.isBuffer(filter)) return { reply: filter, killed: [] }
    const skipsItself = !isOld && !/^no$/i.test(optionOf(texts, 'skipme') ?? 'yes')
    const found = [...session.context.sessions.values()].filter(
      (one) => !one.isClosed && filter.every((holds) => holds(one)),
    )
    const killed = found.filter((one) => !(skipsItself && one === session))
    if (!isOld) return { reply: integerReply(killed.length), killed }
    return { reply: killed.length === 0 ? errorReply('ERR No such client') : okReply, killed }
  }

  #tracking(record: CommandRecord, words: readonly Buffer[], texts: readonly string[]): boolean {
    const request = this.#trackingRequest(words, texts)
    if (request === null) return this.#answer(noRedirect)
    const { own } = this.#session
    assert(own !== null, 'tracking is on a server of its own')
    own.sendFor(record, request, () => undefined)
    return true
  }

  /**
   * The id in REDIRECT is one of ours: the server knows that client's own server. Null where that
   * client has none.
   */
  #trackingRequest(words: readonly Buffer[], texts: readonly string[]): Buffer | null {
    const at = texts.findIndex((text, index) => index > 2 && /^redirect$/i.test(text)) + 1
    const text = at === 0 ? undefined : texts[at]
    if (text === undefined) return command(...words)
    const id = Number(text)
    const serverId = this.#session.context.sessions.get(id)?.own?.relay.server.clientId ?? null
    if (serverId === null) return null
    this.#redirect = { id, serverId }
    return command(...words.with(at, Buffer.from(serverId)))
  }

  /** Whether it was taken, and still holds, the server knows. */
  #getRedirect(record: CommandRecord, words: readonly Buffer[]): boolean {
    const session = this.#session
    const { own } = session
    const [redirect, said] = [this.#redirect, this.#saidRedirect]
    this.#saidRedirect = null
    if (own === null || redirect === null) return session.sendShared(record, command(...words))
    if (said === `:${redirect.serverId}\r\n`) return this.#answer(integerReply(redirect.id))
    if (said !== null) return this.#answer(Buffer.from(said, 'latin1'))
    const asked = new Promise<void>((resolve) => {
      own.relay.ask(command(...words), (reply) => {
        this.#saidRedirect = reply
        resolve()
      })
    })
    session.waitFor(asked)
    return false
  }

  #unblock(record: CommandRecord, texts: readonly string[]): boolean {
    const request = this.#unblocking(texts)
    if (request === null) return this.#answer(integerReply(0))
    return this.#session.sendShared(record, request)
  }

  /** What the server is asked for it; null when that client waits for nothing. */
  #unblocking(texts: readonly string[]): Buffer | null {
    const [, , id = '', how] = texts
    const isKind = how === undefined || /^(?:timeout|error)$/i.test(how)
    // The server says itself what is wrong.
    if (texts.length > 4 || !isKind || !/^\d{1,15}$/.test(id)) return command(...texts)
    const server = this.#session.context.sessions.get(Number(id))?.own?.relay.server
    if (server?.clientId === undefined || server.clientId === null) return null
    return command('CLIENT', 'UNBLOCK', server.clientId, how ?? 'TIMEOUT')
  }
}

/** Pontoon says it without a server. */
const said = /^client\|(?:[gs]etname|setinfo|id|info|list)$/

/** It takes effect in the middle of a reply. */
function replyInTransaction({ replies }: Session, mode: string): StandInAnswer | null {
  if (!/^(?:on|off|skip)$/.test(mode)) return null
  return (reader) => {
    // For the command behind EXEC, also when ON comes in between.
    if (mode === 'skip') reader.skipsNext ||= !replies.isOff
    replies.take(mode)
    if (mode === 'on' && reader.skipsNext) replies.take('skip')
    if (mode !== 'skip') reader.isMute = mode === 'off'
    return mode === 'on' ? okReply : null
  }
}

type Holds = (session: Session) => boolean

/** What an id has to look like, and what is said of one that does not. */
interface IdForm {
  readonly form: RegExp
  readonly refusal: Buffer
}

const listedIds: IdForm = { form: /^-?\d{1,18}$/, refusal: errorReply('ERR Invalid client ID') }

const killedIds: IdForm = {
  form: /^[1-9]\d{0,17}$/,
  refusal: errorReply('ERR client-id should be greater than 0'),
}

const clientType = /^(?:normal|master|slave|replica|pubsub)$/i

/** Filters of CLIENT LIST and CLIENT KILL, or what the server would call wrong with them. */
function readFilter(words: readonly string[], { form, refusal }: IdForm): Holds[] | Buffer {
  const filters: Holds[] = []
  for (let at = 0; at < words.length;) {
    const option = words[at]?.toLowerCase() ?? ''
    const value = words[at + 1]
    if (value === undefined) return syntaxError
    at += 2
    switch (option) {
      case 'id': {
        if (!form.test(value)) return refusal
        const ids = new Set([Number(value)])
        while (/^\d+$/.test(words[at] ?? '')) ids.add(Number(words[at++]))
        filters.push((session) => ids.has(session.id))
        break
      }
      case 'addr':
        filters.push((session) => session.address === value)
        break
      case 'laddr':
        filters.push((session) => session.localAddress === value)
        break
      case 'user':
        filters.push((session) => (session.user || 'default') === value)
        break
      case 'type':
        if (!clientType.test(value)) return errorReply(`ERR Unknown client type '${value}'`)
        filters.push((session) => typeOf(session) === value.toLowerCase())
        break
      case 'maxage':
        filters.push((session) => session.ageSeconds >= Number(value))
        break
      case 'skipme':
        if (!/^(?:yes|no)$/i.test(value)) return syntaxError
        break
      default:
        return syntaxError
    }
  }
  return filters
}

function optionOf(texts: readonly string[], name: string): string | undefined {
  const at = texts.findIndex((text) => text.toLowerCase() === name)
  return at < 0 ? undefined : texts[at + 1]
}

function typeOf(session: Session): string {
  return /subscribe/.test(session.pinReason) ? 'pubsub' : 'normal'
}

/** A line as CLIENT LIST of the server has it, with what is known here. */
function describe(session: Session): string {
  const isBlocked = session.own !== null && session.outstanding > 0
  const flags = typeOf(session) === 'pubsub' ? 'P' : isBlocked ? 'b' : 'N'
  const facts: Readonly<Record<string, string | number>> = {
    id: session.id,
    addr: session.address,
    laddr: session.localAddress,
    fd: -1,
    name: session.name,
    age: session.ageSeconds,
    idle: session.idleSeconds,
    flags,
    db: session.database,
    sub: 0,
    psub: 0,
    ssub: 0,
    multi: session.own?.isBusy === true ? 0 : -1,
    qbuf: 0,
    'qbuf-free': 0,
    'argv-mem': 0,
    'multi-mem': 0,
    rbs: 0,
    rbp: 0,
    obl: 0,
    oll: 0,
    omem: 0,
    'tot-mem': 0,
    events: 'r',
    cmd: session.lastRecord?.name ?? 'NULL',
    user: session.user || 'default',
    redir: -1,
    resp: session.version,
    'lib-name': session.libraryName,
    'lib-ver': session.libraryVersion,
  }
  return Object.entries(facts)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ')
}

/** Texts for people are of a type of their own in RESP3. */
function verbatim(text: string, { version }: Session): Buffer {
  if (version === 2) return bulkReply(text)
  const bytes = Buffer.from(`txt:${text}`)
  return Buffer.concat([Buffer.from(`=${bytes.length}\r\n`), bytes, Buffer.from('\r\n')])
}

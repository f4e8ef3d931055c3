/**
 * Commands about the client's own connection: AUTH, HELLO, SELECT, RESET, QUIT and CLIENT. The
 * connection is the one to Pontoon, so they are answered here, in the server's words; what needs a
 * server to know (does the database exist, does it speak RESP3) is found out by opening one. They
 * run when nothing is owed to the client, so that the answer comes in order.
 */
import type { RedisLoginOptions } from '../../net/redis/login.ts'
import { isMiscounted } from '../../routing/redis/command-facts.ts'
import { assert } from '../../shared/assert.ts'
import { toPontoonError } from '../../shared/errors.ts'
import { readArguments } from '../../wire/redis/arguments.ts'
import { command, errorReply, okReply, resetReply, resetRequest } from '../../wire/redis/write.ts'
import { redisError } from './errors.ts'
import { ClientCommands, isClientName, wrongName } from './client-commands.ts'
import type { CommandRecord } from './command-book.ts'
import { defaultUser, isRightPassword, redisUser } from './credentials.ts'
import { readHello, type Hello } from './hello.ts'
import { loginOf, type Login } from './login-renewal.ts'
import type { Session } from './session.ts'
import type { StandInAnswer } from './stand-ins.ts'

const noAuth = errorReply('NOAUTH Authentication required.')

const noAuthHello = errorReply(
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH ' +
    '<user> <pass> option can be used to authenticate the client and select the RESP protocol ' +
    'version at the same time',
)

const wrongPassword = errorReply('WRONGPASS invalid username-password pair or user is disabled.')

const notInteger = errorReply('ERR value is not an integer or out of range')

/** What became of a password that the primary side was asked about. */
interface Proof {
  readonly user: string
  readonly password: Buffer
  readonly refusal: Buffer
}

/** What tells a server of the client's own that its client is `user` now. */
interface Introduction {
  readonly user: string
  /** Null where no password is configured. */
  readonly login: Login | null
  readonly refusal: Buffer | null
}

/** Null: no server has to be told. */
type Told = Introduction & { readonly login: Login }

type Identity = Pick<Session, 'user' | 'database' | 'version' | 'name'>

export class SessionCommands {
  readonly #session: Session
  readonly #client: ClientCommands
  /** What to go back to when the server that a change needs cannot be had. */
  #before: Identity | null = null
  /** The command at hand was looked at before. */
  #isBegun = false
  /** The password that the command at hand has waited for was refused. */
  #refused: Proof | null = null

  /** The command at hand has waited for it. */
  #introduction: Introduction | null = null

  constructor(session: Session) {
    this.#session = session
    this.#client = new ClientCommands(session)
  }

  /** Clients prove themselves to Pontoon, not to the server. */
  get checksLogins(): boolean {
    return this.#session.context.config.clientAuth.mode === 'password'
  }

  /** Of a pinned client: what must not reach the server, which is logged in as we say. */
  isOurs({ name }: CommandRecord): boolean {
    const { config, route } = this.#session.context
    if (name === 'reset') return this.checksLogins || config[route.primary].password !== undefined
    return this.checksLogins && (name === 'auth' || name === 'hello')
  }

  /** Gives `next` when it has answered, `offset` while it waits for a server. */
  run(record: CommandRecord, bytes: Buffer, offset: number, next: number): number {
    const session = this.#session
    const words = readArguments(bytes, offset, next)
    this.begin()
    const isDone = this.#run(record, words)
    if (!isDone) return offset
    this.#end()
    record.calls += 1
    session.lastRecord = record
    session.lastCommandMs = session.context.clock.nowMs()
    return next
  }

  /** What it does as a part of a transaction, or what is sent in its place; null to send it as it is. */
  inTransaction(record: CommandRecord, words: readonly Buffer[]): StandInAnswer | Buffer | null {
    return this.#client.inTransaction(record, words)
  }

  /** Once for each command, however often that has to wait. */
  begin(): void {
    if (!this.#isBegun) this.#session.replies.next()
    this.#isBegun = true
  }

  #end(): void {
    this.#before = null
    this.#isBegun = false
    this.#session.replies.passed()
  }

  #run(record: CommandRecord, words: readonly Buffer[]): boolean {
    if (isMiscounted(record.facts, words.length)) return this.#refuse(record, words)
    switch (record.name) {
      case 'auth':
        return this.#auth(record, words)
      case 'hello':
        return this.#hello(record, words)
      case 'quit':
        this.#answer(okReply)
        this.#session.close()
        return true
      case 'reset':
        return this.#reset(record)
    }
    if (this.#session.user === null) return this.#answer(noAuth)
    if (record.name === 'select') return this.#select(record, words)
    return this.#client.run(record, words)
  }

  #answer(reply: Buffer): boolean {
    this.#session.answer(reply)
    return true
  }

  /** A server says itself what is wrong; who has no server yet hears it from us, before NOAUTH. */
  #refuse(record: CommandRecord, words: readonly Buffer[]): boolean {
    if (this.#session.user !== null) return this.#session.sendShared(record, command(...words))
    return this.#answer(errorReply(`ERR wrong number of arguments for '${record.name}' command`))
  }

  #auth(record: CommandRecord, words: readonly Buffer[]): boolean {
    const [, first, second] = words
    assert(first !== undefined, 'AUTH has a password')
    if (words.length > 3) return this.#answer(errorReply('ERR syntax error'))
    const [user, password] =
      second === undefined ? [Buffer.from(defaultUser), first] : [first, second]
    return this.#login(user, password, (told) => {
      const { own } = this.#session
      if (told === null || own === null) return this.#answer(okReply)
      const { login } = told
      const request = login.user === null ? ['AUTH'] : ['AUTH', login.user]
      own.sendFor(record, command(...request, login.password), () => this.#become(told.user), null)
      return true
    })
  }

  /**
   * Goes on with `then`, or says why not; false while something is waited for. `then` is given what
   * a server of the client's own has to be told ahead of all else.
   */
  #login(user: Buffer, password: Buffer, then: (told: Told | null) => boolean): boolean {
    const session = this.#session
    const { config } = session.context
    const name = user.toString()
    if (this.checksLogins && !isRightPassword(config, name, password))
      return this.#answer(wrongPassword)
    const isPassedOn = config.clientAuth.mode === 'passthrough'
    if (isPassedOn && !session.context.proven.isSure(name, password.toString())) {
      const refused = this.#refused
      this.#refused = null
      if (refused?.user === name && refused.password.equals(password))
        return this.#answer(refused.refusal)
      session.waitFor(this.#prove(name, password))
      return false
    }
    // Nobody has to prove anything: a name that is listed goes out as configured for it.
    const isKnown = this.checksLogins || isPassedOn || redisUser(config, name) !== undefined
    const known = isKnown ? name : ''
    if (session.user !== null && known !== session.user && session.own?.isKept === true)
      return this.#loginOnOwn(session.user, known, then)
    if (known !== session.user) session.own?.abandon()
    this.#become(known)
    return then(null)
  }

  /** What its server holds of the client (a WATCH, subscriptions) is not to be lost. */
  #loginOnOwn(before: string, user: string, then: (told: Told | null) => boolean): boolean {
    const session = this.#session
    const introduction = this.#introduction
    this.#introduction = null
    if (introduction?.user !== user) {
      session.waitFor(this.#introduce(user))
      return false
    }
    const { login, refusal } = introduction
    if (refusal !== null) return this.#answer(refusal)
    // It stays who it is on its next command, whoever that is taken for.
    session.own?.relay.server.spoil()
    if (login !== null) return then({ user, login, refusal })
    // Nobody can be told: where nobody had to be, the server is the right one.
    if (this.#loginOptions(before).password !== null) session.own?.abandon()
    this.#become(user)
    return then(null)
  }

  #become(user: string): void {
    this.#session.user = user
    this.#session.chooseGroups()
  }

  #loginOptions(user: string): RedisLoginOptions {
    const { own, context } = this.#session
    const side = own?.relay.server.side ?? context.route.primary
    return context.loginOptions({ side, user, database: 0, version: null })
  }

  async #introduce(user: string): Promise<void> {
    try {
      const login = await loginOf(this.#loginOptions(user))
      this.#introduction = { user, login, refusal: null }
    } catch (thrown) {
      this.#introduction = { user, login: null, refusal: redisError(toPontoonError(thrown)) }
    }
  }

  async #prove(user: string, password: Buffer): Promise<void> {
    try {
      await this.#session.context.prove(user, password.toString())
    } catch (thrown) {
      const refusal = redisError(toPontoonError(thrown), true)
      this.#refused = { user, password: Buffer.from(password), refusal }
    }
  }

  #hello(record: CommandRecord, words: readonly Buffer[]): boolean {
    const hello = readHello(words)
    if (hello.error !== null) return this.#answer(hello.error)
    this.#remember()
    if (hello.login === null) return this.#greet(record, hello, null)
    return this.#login(...hello.login, (told) => this.#greet(record, hello, told))
  }

  #greet(record: CommandRecord, hello: Hello, told: Told | null): boolean {
    const session = this.#session
    if (session.user === null) return this.#answer(noAuthHello)
    if (hello.name !== null && !isClientName(hello.name)) return this.#answer(wrongName)
    const version = hello.version ?? session.version
    if (session.own !== null) {
      const { own } = session
      const name = hello.name === null ? [] : ['SETNAME', hello.name]
      const login =
        told === null ? [] : ['AUTH', told.login.user ?? defaultUser, told.login.password]
      const greeted = (): void => {
        if (told !== null) this.#become(told.user)
        own.subscriber.speaks(version)
        if (hello.name !== null) session.name = hello.name
      }
      const lasting = command('HELLO', String(version), ...name)
      own.sendFor(record, command('HELLO', String(version), ...login, ...name), greeted, lasting)
      return true
    }
    if (session.isPinned) {
      session.takeOwn('pinned')
      return false
    }
    session.version = version
    session.chooseGroups()
    const relay = session.serverAtHand()
    if (relay === null) return false
    if (hello.name !== null) session.name = hello.name
    const { hello: reply } = relay.server
    return this.#answer(
      reply === null ? errorReply("ERR unknown command 'HELLO'") : withId(reply, session.id),
    )
  }

  #select(record: CommandRecord, words: readonly Buffer[]): boolean {
    const session = this.#session
    const [, index] = words
    assert(index !== undefined, 'SELECT names a database')
    const text = index.toString('latin1')
    if (!/^(?:0|-?[1-9]\d{0,9})$/.test(text)) return this.#answer(notInteger)
    const database = Number(text)
    if (session.own !== null) {
      session.own.sendFor(record, command('SELECT', text), () => {
        session.database = database
      })
      return true
    }
    if (database < 0) return this.#answer(errorReply('ERR DB index is out of range'))
    if (database !== session.database) {
      this.#remember()
      session.database = database
      session.chooseGroups()
    }
    // The server itself says whether there is such a database, also behind a wait that a pause has ended.
    if (this.#before !== null && session.serverAtHand() === null) return false
    return this.#answer(okReply)
  }

  /** A server of its own answers behind all that it has to say, and is closed then. */
  #reset(record: CommandRecord): boolean {
    const { own, replies } = this.#session
    replies.reset()
    if (own === null || own.relay.isRaw) {
      this.#forget()
      return this.#answer(resetReply)
    }
    own.sendFor(record, resetRequest, () => this.#forget())
    return true
  }

  #forget(): void {
    const session = this.#session
    session.own?.abandon()
    session.database = 0
    session.version = 2
    session.name = ''
    session.user = this.checksLogins ? null : ''
    session.chooseGroups()
  }

  #remember(): void {
    if (this.#before !== null) return
    const { user, database, version, name } = this.#session
    this.#before = { user, database, version, name }
  }

  /** The server that a change needed cannot be had: as if it had not been asked for. */
  undo(): void {
    const before = this.#before
    this.#end()
    if (before === null) return
    Object.assign(this.#session, before)
    this.#session.chooseGroups()
  }
}

/** The server's answer with the id that the client has here. */
function withId(hello: Buffer, id: number): Buffer {
  return Buffer.from(hello.toString('latin1').replace(/(\$2\r\nid\r\n:)\d+/, `$1${id}`), 'latin1')
}

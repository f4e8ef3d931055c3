/**
 * The last step of a login: finds out what the server would report to this client and makes the
 * session. In transaction pooling the answer is remembered per pool and settings, so that only
 * the first client of its kind needs a server; in session pooling, and for replication in either
 * mode, the client gets its server now.
 */
import type { PgServer } from '../../net/pg/server.ts'
import { VerbatimError } from '../../net/pg/verbatim-error.ts'
import type { TransportHandler } from '../../net/transport.ts'
import type { SessionDealer } from '../../routing/balance.ts'
import { Classifier } from '../../routing/classify.ts'
import { PontoonError } from '../../shared/errors.ts'
import { backend, headerBytes, txStatus } from '../../wire/pg/protocol.ts'
import { readError, readParameterStatus } from '../../wire/pg/read.ts'
import { owed } from '../../wire/pg/reply-queue.ts'
import {
  backendKeyData,
  errorResponse,
  parameterStatus,
  queryMessage,
  readyForQuery,
} from '../../wire/pg/write.ts'
import { acquire } from './acquire.ts'
import type { CancelKey, CancelRegistry } from './cancel.ts'
import type { ClassifierSet } from './classifiers.ts'
import type { ClientLogin, StartupIdentity } from './client-login.ts'
import type { ServiceContext } from './context.ts'
import type { PoolSet, PoolSlot, ServerKinds } from './pool-set.ts'
import { ReplicationClients } from './replication.ts'
import { Session } from './session.ts'
import { isShortLife, shortLivesMax } from './session-restart.ts'
import { isOfPast, settingsKey, settingsSql, startupSettings, type Settings } from './settings.ts'

export interface WelcomeParts {
  readonly context: ServiceContext
  readonly pools: PoolSet
  readonly cancels: CancelRegistry
  readonly dealer: SessionDealer
  readonly classifiers: ClassifierSet
  /** The next session's number. */
  nextId(): number
}

/** Remembered answers per pool; a service whose clients all differ starts anew. */
const rememberedMax = 1_000

type Reported = ReadonlyMap<string, string>

export class Welcomer {
  readonly #parts: WelcomeParts
  readonly #replicationClients = new ReplicationClients()
  #reported = new WeakMap<PoolSlot, Map<string, Reported>>()
  /** ParameterStatus messages, ready to be sent. */
  readonly #messages = new WeakMap<Reported, Buffer>()

  constructor(parts: WelcomeParts) {
    this.#parts = parts
  }

  /** Servers may answer otherwise now: another primary, or a reconnect. */
  forget(): void {
    this.#reported = new WeakMap()
  }

  async run(
    login: ClientLogin,
    startup: StartupIdentity,
    onMade: (session: Session) => void,
  ): Promise<Session | null> {
    if (startup.replication !== null) return this.#replicating(login, startup, onMade)
    return this.#parts.context.config.pool.mode === 'transaction'
      ? this.#pooled(login, startup, onMade)
      : this.#owned(login, startup, onMade)
  }

  /** A session has ended. */
  left({ identity }: Session): void {
    if (identity.isReplication) this.#replicationClients.leave()
  }

  async #replicating(
    login: ClientLogin,
    startup: StartupIdentity,
    onMade: (session: Session) => void,
  ): Promise<Session | null> {
    this.#replicationClients.enter(this.#parts.context.config.limits.replicationClientsMax)
    let isMade = false
    try {
      return await this.#owned(login, startup, (session) => {
        isMade = true
        onMade(session)
      })
    } finally {
      if (!isMade) this.#replicationClients.leave()
    }
  }

  async #pooled(
    login: ClientLogin,
    startup: StartupIdentity,
    onMade: (session: Session) => void,
  ): Promise<Session | null> {
    const { context, pools, cancels } = this.#parts
    const { settings, options } = startupSettings(startup.parameters)
    const kinds = pools.kinds(
      startup.user,
      startup.database,
      options === '' ? noParameters : new Map([['options', options]]),
    )
    const key = settingsKey(settings)
    let reported = this.#reported.get(kinds[context.route.primary].write)?.get(key)
    if (reported === undefined) {
      reported = await this.#ask(login, kinds, settings, key)
      if (!login.isOpen) return null
    }
    const cancelKey = cancels.newKey(startup.cancelKeyBytes)
    const session = this.#session(login, startup, kinds, settings, reported, cancelKey)
    onMade(session)
    this.#greet(session, login, reported)
    return session
  }

  async #owned(
    login: ClientLogin,
    startup: StartupIdentity,
    onMade: (session: Session) => void,
  ): Promise<Session | null> {
    const { context, pools, cancels } = this.#parts
    const parameters = new Map([...startup.parameters].filter(([name]) => !isIdentity(name)))
    if (startup.replication === null) parameters.delete('replication')
    const kinds = pools.kinds(startup.user, startup.database, parameters)
    const server = await acquire(login, context, kinds)
    if (server === null) return null
    // The server's own secret may have another length, and lets nobody but us ask the server.
    const secret = cancels.newSecret(startup.cancelKeyBytes)
    const cancelKey = { pid: server.pid, secret }
    const session = this.#session(login, startup, kinds, new Map(), server.reported, cancelKey)
    session.adopt(server, kinds[server.side].write.pool)
    onMade(session)
    this.#greet(session, login, server.reported, server.loginNotices)
    return session
  }

  #session(
    login: ClientLogin,
    startup: StartupIdentity,
    kinds: Session['identity']['kinds'],
    settings: Settings,
    reported: Reported,
    cancelKey: CancelKey,
  ): Session {
    const { context, dealer, classifiers } = this.#parts
    const isReplication = startup.replication !== null
    const identity = {
      id: this.#parts.nextId(),
      user: startup.user,
      database: startup.database,
      applicationName: startup.parameters.get('application_name') ?? '',
      from: login.from,
      seat: dealer.take(),
      cancelPid: cancelKey.pid,
      cancelSecret: cancelKey.secret,
      kinds,
      isReplication,
      // Nothing of a replication client is routed, and its database may be none.
      classifier: isReplication ? nothingRead : classifiers.of(startup.user, startup.database),
    }
    return new Session(context, identity, login.transport, settings, reported)
  }

  #greet(
    session: Session,
    login: ClientLogin,
    reported: Reported,
    notices: readonly Buffer[] = [],
  ): void {
    login.sendOk()
    session.client.sendOwned(this.#statusMessages(reported))
    session.client.sendOwned(
      backendKeyData(session.identity.cancelPid, session.identity.cancelSecret),
    )
    for (const notice of notices) session.client.sendOwned(notice)
    session.client.sendOwned(readyForQuery(txStatus.idle))
    const early = login.handOver()
    if (early.length > 0) session.frontend.onBytes(early, early.length)
  }

  #statusMessages(reported: Reported): Buffer {
    let messages = this.#messages.get(reported)
    if (messages === undefined) {
      messages = Buffer.concat([...reported].map(([name, value]) => parameterStatus(name, value)))
      this.#messages.set(reported, messages)
    }
    return messages
  }

  /**
   * Applies the settings to a server of the pool and remembers what it reports then. A server that
   * has settings of another client may refuse to take those back: a second one is asked. Whoever
   * refuses for what ran there makes room for another one, down to one on which nothing has. And so
   * does one that is lost: the login has a deadline.
   */
  async #ask(
    login: ClientLogin,
    kinds: ServerKinds,
    settings: Settings,
    key: string,
    tries = { isSecond: false, shortLives: 0 },
  ): Promise<Reported> {
    const { context } = this.#parts
    const server = await acquire(login, context, kinds)
    if (server === null) return noParameters
    const slot = kinds[server.side].write
    let refusal: Refusal | null = null
    const wasPlain = server.settings.size === 0
    if (server.settingsKey !== key) {
      try {
        refusal = await applySettings(server, settings, key, context.config.limits.loginTimeoutMs)
      } catch (error) {
        slot.pool.lost(server)
        if (isShortLife(server, context.clock.nowMs())) tries.shortLives += 1
        // Unless a switch has cut it off from its side: the client waits for the end of that.
        const isOfSwitch = !context.gate.isOpen || context.route.primary !== server.side
        if (tries.shortLives >= shortLivesMax && !isOfSwitch) throw error
        return await this.#ask(login, kinds, settings, key, tries)
      }
    }
    const { reported } = server
    server.rest()
    if (refusal !== null) server.spoil()
    slot.pool.give(server)
    if (refusal !== null && isOfPast(server.isFresh, refusal.message))
      return await this.#ask(login, kinds, settings, key, tries)
    if (refusal !== null && !wasPlain && !tries.isSecond)
      return await this.#ask(login, kinds, settings, key, { ...tries, isSecond: true })
    if (refusal !== null) throw settingsRefused(refusal)
    this.#remember(slot, key, reported)
    return reported
  }

  #remember(slot: PoolSlot, key: string, reported: Reported): void {
    let remembered = this.#reported.get(slot)
    if (remembered === undefined || remembered.size >= rememberedMax) {
      remembered = new Map()
      this.#reported.set(slot, remembered)
    }
    remembered.set(key, reported)
  }
}

interface Refusal {
  readonly message: string
  readonly sqlstate: string
}

const nothingRead = new Classifier({})

const noParameters: ReadonlyMap<string, string> = new Map()

/** A startup parameter that the server does not take, in the server's words. */
function settingsRefused({ message, sqlstate }: Refusal): PontoonError {
  return new VerbatimError(
    'STARTUP_PARAMETER',
    message,
    sqlstate,
    errorResponse({ severity: 'FATAL', sqlstate, message }),
  )
}

/**
 * Settles with the server's refusal, or null when the settings are applied. A server that does not
 * answer in time is closed, whether or not the client is still there to hear of it.
 */
function applySettings(
  server: PgServer,
  settings: Settings,
  key: string,
  timeoutMs: number,
): Promise<Refusal | null> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => server.transport.destroy(), timeoutMs)
    server.transport.handler = new SettingsHandler(
      server,
      (refusal) => {
        clearTimeout(timer)
        if (refusal === null) {
          server.settings = settings
          server.settingsKey = key
        }
        resolve(refusal)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      },
    )
    server.unnamedOwner = null
    server.replies.push(owed.query | owed.injected)
    server.transport.sendOwned(queryMessage(settingsSql(server.settings, settings)))
  })
}

/** Reads the few messages that answer the settings query. */
class SettingsHandler implements TransportHandler {
  readonly #server: PgServer
  readonly #done: (refusal: Refusal | null) => void
  readonly #lost: (error: PontoonError) => void
  #buffer: Buffer = Buffer.alloc(0)
  #refusal: Refusal | null = null

  constructor(
    server: PgServer,
    done: (refusal: Refusal | null) => void,
    lost: (error: PontoonError) => void,
  ) {
    this.#server = server
    this.#done = done
    this.#lost = lost
  }

  onBytes(bytes: Buffer, end: number): void {
    this.#buffer = Buffer.concat([this.#buffer, bytes.subarray(0, end)])
    try {
      this.#read()
    } catch {
      this.#server.transport.destroy()
    }
  }

  #read(): void {
    while (this.#buffer.length >= headerBytes) {
      const total = this.#buffer.readInt32BE(1) + 1
      if (total < headerBytes || total > 1024 * 1024) throw malformed()
      if (this.#buffer.length < total) return
      const message = this.#buffer.subarray(0, total)
      this.#buffer = this.#buffer.subarray(total)
      this.#message(message, total)
    }
  }

  #message(message: Buffer, total: number): void {
    const type = message[0] ?? 0
    if (type === backend.errorResponse) this.#refusal = readError(message, headerBytes, total)
    else if (type === backend.parameterStatus)
      this.#server.report(...readParameterStatus(message, headerBytes, total))
    else if (type === backend.readyForQuery) {
      if (this.#server.replies.length === 0) throw malformed()
      this.#server.replies.shift()
      this.#done(this.#refusal)
    }
  }

  onCongested(): void {
    // One small query is under way.
  }

  onDrained(): void {
    // One small query is under way.
  }

  onClosed(): void {
    this.#lost(new PontoonError('SERVER_LOST', 'the server went away during the login'))
  }
}

function malformed(): PontoonError {
  return new PontoonError('SERVER_PROTOCOL', 'the server broke the protocol during the login')
}

function isIdentity(name: string): boolean {
  return name === 'user' || name === 'database' || name.startsWith('_pq_.')
}

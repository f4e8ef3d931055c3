/**
 * One client of the console, from its welcome to its end: frames its messages, runs one command
 * after the other, and answers. Only the simple query protocol is spoken.
 */
import type { Carrier } from '../../../net/carrier.ts'
import type { Transport, TransportHandler } from '../../../net/transport.ts'
import { unreachable } from '../../../shared/assert.ts'
import { PontoonError, toPontoonError } from '../../../shared/errors.ts'
import { backend, frontend, headerBytes, txStatus, typeName } from '../../../wire/pg/protocol.ts'
import {
  backendKeyData,
  commandComplete,
  message,
  parameterStatus,
  readyForQuery,
} from '../../../wire/pg/write.ts'
import type { ConsoleActions, ConsoleActor } from '../../console-actions.ts'
import { fatalResponse } from '../errors.ts'
import type { ConsoleRole } from './access.ts'
import { actions, refusalOf, unsupportedCommands } from './act.ts'
import { parseCommand, type Command } from './parse.ts'
import { ConsoleRefusal } from './refusal.ts'
import { consoleError, notice } from './result.ts'
import { show } from './show.ts'
import { parameters } from './show-config.ts'
import type { ConsoleView } from './view.ts'

/** Commands are short; more than this is no command. */
const inputBytesMax = 65_536

const noBytes: Buffer = Buffer.alloc(0)
const emptyQueryResponse = message(backend.emptyQueryResponse, noBytes)
const ready = readyForQuery(txStatus.idle)

const unspokenTypes: readonly number[] = [
  frontend.parse,
  frontend.bind,
  frontend.describe,
  frontend.execute,
  frontend.close,
  frontend.sync,
  frontend.flush,
]

export interface ConsoleIdentity {
  readonly id: number
  readonly user: string
  readonly role: ConsoleRole
  readonly address: string
  readonly applicationName: string
  readonly cancelPid: number
  readonly cancelSecret: Buffer
}

export interface ConsoleHost {
  readonly view: ConsoleView
  readonly actions: ConsoleActions | null
  left(session: ConsoleSession): void
}

export class ConsoleSession implements TransportHandler {
  readonly identity: ConsoleIdentity
  readonly openedAtMs: number
  requestedAtMs: number
  readonly #host: ConsoleHost
  readonly #transport: Transport
  #input = noBytes
  #state: 'ready' | 'running' | 'closed' = 'ready'
  /** Undoes the command that runs, when the client presses Ctrl-C. */
  #onCancel: (() => void) | null = null

  constructor(host: ConsoleHost, identity: ConsoleIdentity, transport: Transport) {
    this.#host = host
    this.identity = identity
    this.#transport = transport
    this.openedAtMs = host.view.context.clock.nowMs()
    this.requestedAtMs = this.openedAtMs
    transport.handler = this
  }

  get id(): number {
    return this.identity.id
  }

  get user(): string {
    return this.identity.user
  }

  get applicationName(): string {
    return this.identity.applicationName
  }

  get socket(): Carrier {
    return this.#transport.socket
  }

  get #actor(): ConsoleActor {
    return { name: this.identity.user, address: this.identity.address }
  }

  /** Sent once, after AuthenticationOk. */
  greet(): void {
    const { cancelPid, cancelSecret } = this.identity
    for (const [name, value] of parameters) this.#send(parameterStatus(name, value))
    this.#send(backendKeyData(cancelPid, cancelSecret))
    this.#send(ready)
  }

  onBytes(bytes: Buffer, end: number): void {
    this.#host.view.ownTotals.bytesFromClients += end
    this.#input = Buffer.concat([this.#input, bytes.subarray(0, end)])
    if (this.#input.length > inputBytesMax)
      this.fail(new PontoonError('MESSAGE_TOO_LARGE', 'the console takes short commands only'))
    else this.#proceed()
  }

  onCongested(): void {
    this.#transport.pauseReading()
  }

  onDrained(): void {
    this.#transport.resumeReading()
    this.#proceed()
  }

  onClosed(): void {
    this.#end()
  }

  /** Ends it from outside with an error. */
  fail(error: PontoonError): void {
    if (this.#state === 'closed') return
    this.#send(fatalResponse(error))
    this.#transport.end()
    this.#end()
  }

  /** A cancel request with its key has come. */
  cancel(): void {
    this.#onCancel?.()
  }

  #end(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#input = noBytes
    this.#host.left(this)
  }

  #send(bytes: Buffer): void {
    this.#host.view.ownTotals.bytesToClients += bytes.length
    this.#transport.sendOwned(bytes)
  }

  #proceed(): void {
    while (this.#state === 'ready' && !this.#transport.isCongested && this.#takeMessage()) {
      // Each round consumed a message.
    }
  }

  #takeMessage(): boolean {
    const input = this.#input
    const type = input[0]
    if (type === undefined || input.length < headerBytes) return false
    const total = input.readInt32BE(1) + 1
    if (total < headerBytes || total > inputBytesMax) {
      this.fail(new PontoonError('CLIENT_PROTOCOL', 'invalid message length'))
      return false
    }
    if (input.length < total) return false
    this.#input = input.subarray(total)
    this.#message(type, input.subarray(headerBytes, total))
    return true
  }

  #message(type: number, body: Buffer): void {
    if (type === frontend.query) {
      const end = body.indexOf(0)
      this.#query(body.toString('utf8', 0, end < 0 ? body.length : end))
      return
    }
    if (type === frontend.terminate) {
      this.#transport.end()
      this.#end()
      return
    }
    // PgBouncer ends the connection too: a driver that pipelines would lose its place.
    const text = unspokenTypes.includes(type)
      ? 'extended query protocol not supported by admin console'
      : `unsupported packet type for admin console: ${typeName(type)}`
    this.#send(
      consoleError(text, 'Use the simple query protocol: no parameters, no prepared statements.'),
    )
    this.#transport.end()
    this.#end()
  }

  #query(sql: string): void {
    const { view } = this.#host
    view.ownTotals.transactions += 1
    view.ownTotals.queries += 1
    this.requestedAtMs = view.context.clock.nowMs()
    let answer: Buffer[] | Promise<Buffer[]>
    try {
      answer = this.#run(sql, parseCommand(sql))
    } catch (thrown) {
      answer = [errorOf(thrown)]
    }
    if (answer instanceof Promise) void this.#later(answer)
    else this.#answer(answer)
  }

  async #later(answer: Promise<Buffer[]>): Promise<void> {
    this.#state = 'running'
    const messages = await answer.catch((thrown: unknown) => [errorOf(thrown)])
    this.#onCancel = null
    // It may have been closed while the command ran.
    if (this.#transport.isClosed || this.#state !== 'running') return
    this.#state = 'ready'
    this.#answer(messages)
    this.#proceed()
  }

  #answer(messages: readonly Buffer[]): void {
    for (const one of messages) this.#send(one)
    this.#send(ready)
  }

  #run(sql: string, command: Command): Buffer[] | Promise<Buffer[]> {
    switch (command.kind) {
      case 'empty':
        return [emptyQueryResponse]
      case 'set':
        return setParameter(command.key)
      case 'unknown':
        throw invalid(sql)
      case 'command':
        return this.#command(sql, command.verb, command.argument)
      default:
        return unreachable(command)
    }
  }

  #command(sql: string, verb: string, argument: string | null): Buffer[] | Promise<Buffer[]> {
    if (verb === 'show' && argument !== null) {
      const shown = show(this.#host.view, argument)
      if (shown !== null) return shown
      throw invalid(sql)
    }
    const reason = Object.hasOwn(unsupportedCommands, verb) ? unsupportedCommands[verb] : undefined
    const action = Object.hasOwn(actions, verb) ? actions[verb] : undefined
    if (reason === undefined && action === undefined) throw invalid(sql)
    if (this.identity.role !== 'admin') return this.#refuse(verb)
    if (action === undefined)
      throw new ConsoleRefusal(`${verb.toUpperCase()} is not supported: ${reason ?? ''}`)
    return this.#act(verb, action, argument)
  }

  async #refuse(verb: string): Promise<Buffer[]> {
    const { actions: control, view } = this.#host
    const refusal = new PontoonError('FORBIDDEN', 'admin access needed')
    await control?.refused(view.context.name, verb, refusal, this.#actor)
    throw new ConsoleRefusal(refusal.message, 'statsUsers may only SHOW.')
  }

  async #act(
    verb: string,
    action: (typeof actions)[string],
    argument: string | null,
  ): Promise<Buffer[]> {
    const { actions: control, view } = this.#host
    if (control === null) throw new ConsoleRefusal('this process takes no commands')
    const tell = (bytes: Buffer): void => this.#send(bytes)
    const done = action({ view, actions: control, actor: this.#actor, argument, tell })
    if (verb !== 'pause') return await done
    // Ctrl-C at a PAUSE that waits means RESUME, as in PgBouncer.
    let isCanceled = false
    const canceled = new Promise<never>((_resolve, reject) => {
      this.#onCancel = () => {
        if (isCanceled) return
        isCanceled = true
        control.resume(view.context.name, this.#actor).then(
          () => reject(new ConsoleRefusal('canceling PAUSE due to user request')),
          (thrown: unknown) => reject(toPontoonError(thrown)),
        )
      }
    })
    return await Promise.race([done, canceled])
  }
}

/** What drivers set when they connect makes no difference here. */
const ignoredSettings: readonly string[] = [
  'application_name',
  'client_encoding',
  'client_min_messages',
  'datestyle',
  'default_transaction_isolation',
  'extra_float_digits',
  'standard_conforming_strings',
  'timezone',
]

function setParameter(key: string): Buffer[] {
  if (ignoredSettings.includes(key)) return [notice('SET ignored'), commandComplete('SET')]
  throw new ConsoleRefusal(
    'SET is not supported',
    "Change Pontoon's configuration file, then RELOAD.",
  )
}

function invalid(sql: string): ConsoleRefusal {
  const isSelect = /^\s*(select|with|table|values)\b/i.test(sql)
  const shown = sql.length > 200 ? `${sql.slice(0, 200)}…` : sql
  return new ConsoleRefusal(
    `invalid command '${shown}', use SHOW HELP;`,
    isSelect ? 'This is the console of the pooler, not a database: it runs no SQL.' : undefined,
  )
}

function errorOf(thrown: unknown): Buffer {
  const { message: text, hint, sqlstate } = refusalOf(thrown)
  return consoleError(text, hint, sqlstate)
}

/**
 * Finds servers whose host or connection is gone although it looks open: a host that lost its power
 * or its network, a firewall that forgot the connection. One that is silent while somebody uses it
 * is looked into from the side: a second connection to the same address. What ends it is that this
 * one cannot be opened twice in a row for want of any answer, or that the server there knows no
 * client with its id. A server that accepts and does not answer is busy (a script, KEYS), one that
 * refuses lives: both are left alone. Idle servers are probed by their pool; the nodes of a cluster
 * are not looked into.
 */
import { dial } from '../../net/dial.ts'
import { withRedis } from '../../net/redis/ask.ts'
import type { RedisLoginOptions } from '../../net/redis/login.ts'
import type { RedisServer } from '../../net/redis/server.ts'
import { isUnanswered, Silences, unansweredMax, type Silence } from '../../net/silence.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import type { RedisContext } from './context.ts'
import type { ServerGroup } from './server-group.ts'

type Suspect = Silence<RedisServer>

/** A server is not asked about more connections than these at once. */
const checkedMax = 100

export class SilentServers {
  readonly #context: RedisContext
  readonly #silences = new Silences<RedisServer>()
  /** One check per group at a time. */
  readonly #checking = new Set<ServerGroup>()

  constructor(context: RedisContext) {
    this.#context = context
  }

  /** Once a second. */
  look(): void {
    const now = this.#context.clock.nowMs()
    const silent = new Map<ServerGroup, Suspect[]>()
    const note = (group: ServerGroup, server: RedisServer, owes: boolean): void => {
      if (this.#context.config[group.kind.side].cluster) return
      const suspect = this.#silences.of(server, now)
      if (!this.#isDue(suspect, owes, now)) return
      const others = silent.get(group)
      if (others === undefined) silent.set(group, [suspect])
      else others.push(suspect)
    }
    for (const group of this.#context.groups.all())
      for (const relay of group.shared) note(group, relay.server, relay.owed.length > 0)
    for (const { own, groups, outstanding } of this.#context.sessions.values()) {
      if (own === null) continue
      const { server } = own.relay
      note(groups[server.side], server, outstanding > 0 && !own.mayNeverEnd)
    }
    for (const [group, suspects] of silent) {
      if (this.#checking.has(group)) continue
      this.#checking.add(group)
      void this.#check(group, suspects, now).finally(() => this.#checking.delete(group))
    }
  }

  /** One that owes nothing, or waits for data, is asked as seldom as an idle one. */
  #isDue({ silentSinceMs, checkedAtMs, unanswered }: Suspect, owes: boolean, now: number): boolean {
    const { suspectAfterMs, probeIntervalMs } = this.#context.config.pool
    const limitMs = owes ? suspectAfterMs : Math.max(probeIntervalMs, suspectAfterMs)
    return now - silentSinceMs >= limitMs && (unanswered > 0 || now - checkedAtMs >= limitMs)
  }

  async #check(group: ServerGroup, suspects: readonly Suspect[], now: number): Promise<void> {
    const { address: host = null, transport } = suspects[0]?.server ?? {}
    const port = transport?.socket.remotePort
    if (host === null || port === undefined) return
    const same = suspects.filter(({ server }) => server.address === host).slice(0, checkedMax)
    for (const suspect of same) suspect.checkedAtMs = now
    const kind = { ...group.kind, database: 0, version: null }
    const options = { ...this.#context.loginOptions(kind), endpoint: { host, port } }
    const isAnswered = await answers(options)
    for (const suspect of same) suspect.unanswered = isAnswered ? 0 : suspect.unanswered + 1
    const known = isAnswered ? await knownIds(options, same) : null
    for (const suspect of same) {
      const { clientId } = suspect.server
      if (suspect.unanswered >= unansweredMax) this.#end(suspect, 'its host does not answer')
      else if (known !== null && clientId !== null && !known.has(clientId))
        this.#end(suspect, 'the server does not know its connection any more')
    }
  }

  /** Unless it has spoken meanwhile. */
  #end(suspect: Suspect, why: string): void {
    if (!this.#silences.isStill(suspect)) return
    const { transport, side, clientId: id } = suspect.server
    const { log, name } = this.#context
    log.warn({ service: name, side, id }, `a silent server is given up: ${why}`)
    transport.destroy(new PontoonError('SERVER_LOST', why))
  }
}

/** A refusal is an answer as well. */
async function answers({ endpoint, timeoutMs }: RedisLoginOptions): Promise<boolean> {
  try {
    const { socket } = await dial(endpoint, timeoutMs)
    socket.on('error', () => undefined)
    socket.destroy()
    return true
  } catch (thrown) {
    return !isUnanswered(toPontoonError(thrown))
  }
}

/** Which of them the server there lists; null when it does not say. */
async function knownIds(
  options: RedisLoginOptions,
  suspects: readonly Suspect[],
): Promise<ReadonlySet<string> | null> {
  const ids = suspects.flatMap(({ server: { clientId } }) => clientId ?? [])
  if (ids.length === 0) return null
  try {
    const list = await withRedis(options, (ask) => ask('CLIENT', 'LIST', 'ID', ...ids))
    return new Set(
      Array.from(list.toString('latin1').matchAll(/\bid=(\d+) addr=/g), ([, id]) => id ?? ''),
    )
  } catch {
    return null
  }
}

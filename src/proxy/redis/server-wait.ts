/** How a session waits: for the gate, for a shared server, or for one of its own. */
import type { PoolWaiter } from '../../net/pool-rules.ts'
import type { RedisServer } from '../../net/redis/server.ts'
import { OwnServer } from './own-server.ts'
import type { ServerGroup } from './server-group.ts'
import type { Session } from './session.ts'

export class ServerWait {
  readonly #session: Session
  #leaveQueue: (() => void) | null = null
  #group: ServerGroup | null = null
  /** The command at hand was parked before it came to a pool. */
  #wasParked = false
  #sinceMs = 0

  constructor(session: Session) {
    this.#session = session
  }

  park(): void {
    const session = this.#session
    session.move('parked')
    this.#wasParked = true
    this.#leaveQueue = session.context.gate.park(() => {
      this.#leaveQueue = null
      session.move('ready')
      session.resume()
    })
  }

  /** Until something else has happened that does not fail. */
  forEvent(event: Promise<void>): void {
    this.#start()
    let isLeft = false
    this.#leaveQueue = () => {
      isLeft = true
    }
    const goOn = (): void => {
      if (isLeft) return
      this.leave()
      this.#session.resume()
    }
    void event.then(goOn)
  }

  forShared(group: ServerGroup): void {
    this.#start()
    this.#group = group
    group.waiting.add(this)
    this.#leaveQueue = group.sharedPool.wait(
      this.#waiter(group, (server) => {
        group.adopt(server)
        group.wakeWaiting()
      }),
      this.#wasParked,
    )
  }

  /** A shared server of the group has come, for somebody. */
  sharedIsThere(): void {
    this.leave()
    this.#session.resume()
  }

  /** True when there is one now; otherwise the session waits. */
  forOwn(reason: string): boolean {
    const session = this.#session
    const group = session.groups[session.context.route.primary]
    const pool = group.ownPool
    const taken = pool.take()
    if (taken !== null) {
      session.own = new OwnServer(session, taken, pool, reason)
      return true
    }
    this.#start()
    this.#leaveQueue = pool.wait(
      this.#waiter(group, (server) => {
        session.own = new OwnServer(session, server, pool, reason)
        this.sharedIsThere()
      }),
      this.#wasParked,
    )
    return false
  }

  #waiter(group: ServerGroup, take: (server: RedisServer) => void): PoolWaiter<RedisServer> {
    const session = this.#session
    return {
      onServer: (server) => {
        this.#leaveQueue = null
        // Under another route it would be on a side that is primary no more.
        const isWanted = session.context.route.primary === group.kind.side
        if (isWanted) take(server)
        else this.sharedIsThere()
        return isWanted
      },
      onRefused: (error) => {
        this.#leaveQueue = null
        this.leave()
        session.refuseNext(error)
      },
    }
  }

  #start(): void {
    this.#session.move('waiting')
    this.#sinceMs = this.#session.context.clock.nowMs()
  }

  /** Stands in no line any more. */
  leave(): void {
    this.#group?.waiting.delete(this)
    this.#group = null
    this.#leaveQueue?.()
    this.#leaveQueue = null
    const session = this.#session
    if (session.state !== 'waiting') return
    session.move('ready')
    this.#wasParked = false
    const waitedMs = session.context.clock.nowMs() - this.#sinceMs
    session.context.stats.clientWait.observe(waitedMs / 1_000)
  }
}

/** How a login gets a server: through the gate as sessions do, from the primary side. */
import type { PgServer } from '../../net/pg/server.ts'
import type { ClientLogin } from './client-login.ts'
import type { ServiceContext } from './context.ts'
import type { ServerKinds } from './pool-set.ts'

/** A server for writes on the primary side; null when the client has gone meanwhile. */
export function acquire(
  login: ClientLogin,
  context: ServiceContext,
  kinds: ServerKinds,
): Promise<PgServer | null> {
  return new Promise((resolve, reject) => {
    let leave: () => void = stayed
    const finish = (): void => {
      login.onGone = null
      login.recall = null
    }
    login.onGone = () => {
      finish()
      leave()
      resolve(null)
    }
    const next = (): void => {
      login.recall = null
      // It may have gone before it came here, as when a switch makes it ask again.
      if (!login.isOpen) {
        finish()
        resolve(null)
        return
      }
      if (!context.gate.admits(kinds.place)) {
        login.wasParked = true
        leave = context.gate.park(next, kinds.place)
        return
      }
      const { pool } = kinds[context.route.primary].write
      const server = pool.take()
      if (server !== null) {
        finish()
        resolve(server)
        return
      }
      leave = pool.wait(
        {
          onServer: (waited) => {
            // As a session that waits: not during a pause, not on a side that is primary no more.
            if (!context.gate.isOpen || kinds[context.route.primary].write.pool !== pool) {
              next()
              return false
            }
            finish()
            resolve(waited)
            return true
          },
          onRefused: (error) => {
            finish()
            reject(error)
          },
        },
        login.wasParked,
      )
      login.recall = () => {
        leave()
        next()
      }
    }
    next()
  })
}

const stayed = (): void => undefined

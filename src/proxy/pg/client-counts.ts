/** Clients per user and per database, with their limits, in the words of the server. */
import type { ServiceConfig } from '../../config/schema.ts'
import { PontoonError } from '../../shared/errors.ts'
import { userEntry } from './credentials.ts'

export interface ClientName {
  readonly user: string
  readonly database: string
}

export class ClientCounts {
  readonly #users = new Map<string, number>()
  readonly #databases = new Map<string, number>()

  /** Counts a client that may come in; throws when it may not. Each has to `leave` again. */
  enter(config: ServiceConfig, { user, database }: ClientName): void {
    const { clientsPerUserMax, clientsPerDatabaseMax } = config.limits
    const ofUser = this.#users.get(user) ?? 0
    const ofDatabase = this.#databases.get(database) ?? 0
    const userMax = userEntry(config, user)?.clientsMax ?? clientsPerUserMax
    if (userMax !== undefined && ofUser >= userMax)
      throw new PontoonError('CLIENT_USER_LIMIT', `too many connections for role "${user}"`)
    if (clientsPerDatabaseMax !== undefined && ofDatabase >= clientsPerDatabaseMax) {
      const text = `too many connections for database "${database}"`
      throw new PontoonError('CLIENT_DATABASE_LIMIT', text)
    }
    this.#users.set(user, ofUser + 1)
    this.#databases.set(database, ofDatabase + 1)
  }

  leave({ user, database }: ClientName): void {
    decrease(this.#users, user)
    decrease(this.#databases, database)
  }
}

/** Names come from clients: those of nobody are not kept. */
function decrease(counts: Map<string, number>, name: string): void {
  const left = (counts.get(name) ?? 0) - 1
  if (left > 0) counts.set(name, left)
  else counts.delete(name)
}

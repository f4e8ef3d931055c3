/**
 * Who gets the console: the virtual databases exist only in a service that names `consoleUsers`
 * or `statsUsers` and serves no real database of that name.
 */
import type { ServiceConfig } from '../../../config/schema.ts'
import { PontoonError } from '../../../shared/errors.ts'

export const consoleDatabases = ['pgbouncer', 'pontoon'] as const

/** An admin may do everything, a stats user may look. */
export type ConsoleRole = 'admin' | 'stats'

export function isConsoleDatabase(config: ServiceConfig, database: string): boolean {
  if (!consoleDatabases.some((name) => name === database)) return false
  if (config.consoleUsers === undefined && config.statsUsers === undefined) return false
  return config.databases?.includes(database) !== true
}

/** The role of somebody who has proved his name. Throws CLIENT_NOT_ALLOWED when he has none. */
export function consoleRole(config: ServiceConfig, user: string, isLocal: boolean): ConsoleRole {
  const role = listedRole(config, user)
  if (role === null) throw notAllowed(`user "${user}" is not listed in consoleUsers or statsUsers`)
  if (config.clientAuth.mode === 'trust' && !isLocal)
    throw notAllowed('with clientAuth trust the console is open to clients of this machine only')
  return role
}

function listedRole(config: ServiceConfig, user: string): ConsoleRole | null {
  if (config.consoleUsers?.includes(user) === true) return 'admin'
  return config.statsUsers?.includes(user) === true ? 'stats' : null
}

/** A database that exists on the primary side, to prove a password against. */
export function provingDatabase(config: ServiceConfig, database: string): string {
  return isConsoleDatabase(config, database) ? (config.databases?.[0] ?? 'postgres') : database
}

function notAllowed(message: string): PontoonError {
  return new PontoonError('CLIENT_NOT_ALLOWED', message)
}

/**
 * What commands begin with that work on the two databases of a service themselves: the
 * configuration, the service by name, its secrets.
 */
import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import type { MigrationContext } from '../migration/pg/side-login.ts'
import { Secrets } from '../net/secrets/secrets.ts'
import { systemClock } from '../shared/clock.ts'
import { PontoonError } from '../shared/errors.ts'
import { silentLog } from '../shared/log.ts'
import { configFilesOf } from './config-files.ts'
import type { CommandInput } from './command.ts'

export interface ServiceJob extends MigrationContext {
  readonly whole: Config
}

/** Throws USAGE, NOT_FOUND, or what is wrong with the configuration. */
export function serviceJobOf({ args, env }: Pick<CommandInput, 'args' | 'env'>): ServiceJob {
  const [service = ''] = args.positionals
  const { config: whole } = loadConfig(configFilesOf(args), env)
  const config = Object.hasOwn(whole.services, service) ? whole.services[service] : undefined
  if (config === undefined) {
    const known = Object.keys(whole.services).join(', ')
    throw new PontoonError('NOT_FOUND', `No service '${service}'; there is ${known}.`)
  }
  if (config.protocol !== 'postgres')
    throw new PontoonError('USAGE', `'${service}' is no PostgreSQL service.`)
  return { service, config, whole, secrets: new Secrets({ clock: systemClock, log: silentLog }) }
}

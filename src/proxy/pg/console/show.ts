/** Every SHOW by its name; what PgBouncer has beyond these is refused by name. */
import { ConsoleRefusal } from './refusal.ts'
import { showConfig, showHelp, showParameter, showState, showVersion } from './show-config.ts'
import { showNothing } from './show-nothing.ts'
import { showDatabases, showLists, showPools, showUsers } from './show-pools.ts'
import { showClients, showServers } from './show-sockets.ts'
import { showStats, showStatsAverages, showStatsTotals, showTotals } from './show-stats.ts'
import type { ConsoleView } from './view.ts'

export const shows: Readonly<Record<string, (view: ConsoleView) => Buffer[]>> = {
  ...showNothing,
  clients: showClients,
  config: showConfig,
  databases: showDatabases,
  help: showHelp,
  lists: showLists,
  pools: showPools,
  servers: showServers,
  state: showState,
  stats: showStats,
  stats_averages: showStatsAverages,
  stats_totals: showStatsTotals,
  totals: showTotals,
  users: showUsers,
  version: showVersion,
}

const unsupported: Readonly<Record<string, string>> = {
  active_sockets: 'Pontoon keeps no socket buffers; SHOW CLIENTS and SHOW SERVERS list connections',
  fds: 'sockets are not handed over to another process',
  sockets: 'Pontoon keeps no socket buffers; SHOW CLIENTS and SHOW SERVERS list connections',
}

/** Null when there is no such thing to show. Throws ConsoleRefusal for what is left out. */
export function show(view: ConsoleView, what: string): Buffer[] | null {
  const name = what.toLowerCase()
  const known = Object.hasOwn(shows, name) ? shows[name] : undefined
  if (known !== undefined) return known(view)
  const reason = Object.hasOwn(unsupported, name) ? unsupported[name] : undefined
  if (reason !== undefined)
    throw new ConsoleRefusal(`SHOW ${name.toUpperCase()} is not supported: ${reason}`)
  return showParameter(name)
}

/** Clients with what they do and why they hold a server, as a table. */
import type { ClientSnapshot } from '../proxy/service.ts'
import { formatDuration } from './duration.ts'
import { formatTable } from './table.ts'

export function describeClients(clients: readonly ClientSnapshot[]): string {
  return formatTable(
    [
      { heading: 'CLIENT', align: 'right' },
      { heading: 'USER' },
      { heading: 'APPLICATION' },
      { heading: 'ADDRESS' },
      { heading: 'SIDE' },
      { heading: 'SERVER PID', align: 'right' },
      { heading: 'STATE' },
      { heading: 'FOR', align: 'right' },
      { heading: 'DOES' },
      { heading: 'SINCE', align: 'right' },
    ],
    clients.map((client) => [
      String(client.id),
      client.user,
      client.applicationName,
      client.address,
      client.side ?? '',
      String(client.serverPid ?? ''),
      client.pinReason === '' ? client.state : `${client.state} (${client.pinReason})`,
      formatDuration(client.stateAgeMs),
      client.work,
      client.work === '' ? '' : formatDuration(client.workAgeMs),
    ]),
  )
}

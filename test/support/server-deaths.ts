/** The ways in which a PostgreSQL behind a relay is lost to a client. */
import type { PostgresServer } from './postgres.ts'
import type { Relay } from './relay.ts'

export interface Death {
  readonly name: string
  /** `pid`: of the backend that works for the client. */
  readonly cause: (pid: number) => Promise<void>
  readonly heal?: () => Promise<void>
}

export function serverDeaths(server: PostgresServer, relay: Relay): readonly Death[] {
  return [
    {
      name: 'the backend is ended',
      cause: async (pid) => {
        await server.query('SELECT pg_terminate_backend($1::int)', 'postgres', [pid])
      },
    },
    {
      name: 'the network is cut',
      cause: async () => {
        relay.cut()
      },
    },
    { name: 'the database is killed', cause: () => server.kill9(), heal: () => server.restart() },
  ]
}

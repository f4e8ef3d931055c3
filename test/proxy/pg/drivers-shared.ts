/**
 * A transaction pool with fewer servers than clients, for drivers-*.test.ts, and what must hold
 * when the clients are gone: servers were shared, none is held, nothing of ours went wrong.
 */
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import type { PostgresServer } from '../../support/postgres.ts'

export const itemsSetup = `
  DROP TABLE IF EXISTS items;
  CREATE TABLE items (id serial PRIMARY KEY, client int, number int, note text)`

export interface Sharing {
  readonly server: PostgresServer
  readonly clients: number
  /** Servers; fewer than clients. */
  readonly size: number
  /** So often each client gets a server at least, on average. Default 5. */
  readonly linksEach?: number
}

export async function shareServers(
  test: Test,
  { server, clients, size, linksEach }: Sharing,
  use: (pontoon: Pontoon) => Promise<void>,
): Promise<void> {
  // A client that listens or holds a cursor may keep its server for a while, so others wait.
  const pool = { size, queueTimeoutMs: 60_000 }
  const pontoon = await startPontoon({ source: server, mode: 'transaction', pool })
  test.teardown(() => pontoon.stop())
  await use(pontoon)
  await until(
    () => pontoon.service.snapshot().clients.idle === 0,
    'all clients to have left',
    30_000,
  )
  await pontoon.untilIdle(30_000)
  const { stats } = pontoon.service
  test.ok(pontoon.servers() <= size, `${pontoon.servers()} servers`)
  const { serverLinks } = stats.database('postgres')
  test.ok(serverLinks > (linksEach ?? 5) * clients, `servers changed hands ${serverLinks} times`)
  test.strictSame([...stats.ownErrors], [], 'no error of our own')
  test.strictSame(pontoon.service.snapshot().pinned, {})
}

/** The path of a program that plays the clients. */
export const driverProgram = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/drivers/${name}`, import.meta.url))

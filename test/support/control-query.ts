/**
 * Asks a side as Pontoon's control role, whom no fence shuts out. A fence ends whoever is still
 * connecting when it comes, since nobody can tell yet who that is; so it is asked again.
 */
import { Client } from 'pg'
import type { PostgresServer, Row } from './postgres.ts'

const attempts = 5
const adminShutdown = '57P01'

export async function controlQuery(
  server: PostgresServer,
  sql: string,
  database = 'shop',
): Promise<readonly Row[]> {
  for (let attempt = 1; ; attempt += 1) {
    const client = new Client(server.url(database, 'control', 'control'))
    let isEnded = false
    const note = (error: unknown): void => {
      isEnded ||= error instanceof Error && 'code' in error && error.code === adminShutdown
    }
    // Between login and question it is told here only; the question is then refused without a code.
    client.on('error', note)
    try {
      await client.connect()
      return (await client.query<Row>(sql)).rows
    } catch (error) {
      note(error)
      if (!isEnded || attempt === attempts) throw error
    } finally {
      await client.end().catch(() => undefined)
    }
  }
}

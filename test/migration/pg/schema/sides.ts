/** Two servers and a configuration of one service on them, for tests of commands of a migration. */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { stringify } from 'yaml'
import { postgresBinFolder } from '../../../support/postgres-binaries.ts'
import type { PostgresServer } from '../../../support/postgres.ts'

export interface Sides {
  readonly source: PostgresServer
  readonly target: PostgresServer
  readonly database: string
}

export class ServiceFiles {
  readonly folder = mkdtempSync(join(tmpdir(), 'pontoon-schema-test-'))
  readonly config = join(this.folder, 'database.yml')

  constructor(
    { source, target, database }: Sides,
    service: Readonly<Record<string, unknown>> = {},
  ) {
    const side = ({ host, port }: PostgresServer): object => ({
      host,
      port,
      database,
      tls: { mode: 'disable' },
      controlUser: { user: 'pontoon_control', password: 'secret-control' },
      replicationUser: { user: 'pontoon_repl', password: 'secret-repl' },
      readUser: { user: 'pontoon_read', password: 'secret-read' },
    })
    const shop = {
      protocol: 'postgres',
      listen: '127.0.0.1:6432',
      databases: [database],
      users: { 'Shop App': { verifier: 'secret-app' } },
      source: side(source),
      target: side(target),
      ...service,
    }
    const config = { state: { file: join(this.folder, 'state') }, services: { shop } }
    writeFileSync(this.config, stringify(config))
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The catalogue as SQL, without the lines that differ between any two dumps. */
export async function definitionsOf(server: PostgresServer, database: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)(
    join(postgresBinFolder(15), 'pg_dump'),
    ['--schema-only', '--exclude-schema=pontoon', '-d', server.url(database)],
    { maxBuffer: 64 * 1024 * 1024 },
  )
  return stdout.split('\n').filter((line) => !/^\\(?:un)?restrict /.test(line))
}

/** Lines that only one of the two has. */
export function differences(
  one: readonly string[],
  other: readonly string[],
): { readonly gone: readonly string[]; readonly added: readonly string[] } {
  return { gone: linesWithout(one, other), added: linesWithout(other, one) }
}

function linesWithout(all: readonly string[], those: readonly string[]): string[] {
  const left = [...those]
  return all.filter((line) => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0 && line.trim() !== '' && !line.startsWith('--')
  })
}

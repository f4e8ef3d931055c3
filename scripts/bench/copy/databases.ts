/** The two servers of the copy benchmark and the database that is copied. */
import { startPostgres, type PostgresServer } from '../../../test/support/postgres.ts'
import { postgres15BinFolder } from '../../lib/requirements.ts'
import { execute } from '../../processes.ts'

export const sourceDatabase = 'bench'
export const targetDatabase = 'bench'

export interface CopyBench {
  readonly source: PostgresServer
  readonly target: PostgresServer
  readonly sourceBytes: number
  stop(): Promise<void>
}

/** As a server is set up for a load like this; the same on both sides, for both peers. */
const settings = {
  shared_buffers: '512MB',
  max_wal_size: '8GB',
  checkpoint_timeout: '30min',
  wal_level: 'logical',
  autovacuum: 'off',
}

/** pgbench_accounts with its key takes about this per unit of scale. */
const bytesPerScale = 15_000_000
const bytesPerWideRow = 1_090

export async function prepareCopy(megabytes: number, signal: AbortSignal): Promise<CopyBench> {
  const source = await startPostgres({ major: 15, settings })
  const target = await startPostgres({ major: 15, settings })
  const stop = async (): Promise<void> => {
    await source.stop()
    await target.stop()
  }
  try {
    await source.createDatabase(sourceDatabase)
    const half = (megabytes * 1e6) / 2
    const scale = Math.max(1, Math.round(half / bytesPerScale))
    const pgbench = ['-i', '-q', '-s', String(scale), source.url(sourceDatabase)]
    await execute(`${postgres15BinFolder}/pgbench`, pgbench, {}, signal)
    await source.query(wideSql(Math.round(half / bytesPerWideRow)), sourceDatabase)
    // It has no key, and whoever publishes it without would stop its updates.
    await source.query('ALTER TABLE pgbench_history REPLICA IDENTITY FULL', sourceDatabase)
    await source.query('VACUUM ANALYZE', sourceDatabase)
    const sized = `SELECT pg_database_size('${sourceDatabase}') AS bytes`
    const [row] = await source.query<{ bytes: string }>(sized)
    return { source, target, sourceBytes: Number(row?.bytes), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Rows of an application: a key, numbers, times, texts and a document of a kilobyte in all. */
function wideSql(rows: number): string {
  return `
    CREATE TABLE wide (
      id bigint PRIMARY KEY, customer int NOT NULL, created_at timestamptz NOT NULL,
      amount numeric(12,2), ratio double precision, is_open boolean, reference uuid,
      title text, body text, document jsonb);
    INSERT INTO wide SELECT g, g % 10007, '2026-01-01'::timestamptz + g * interval '1 s',
      g % 100000 / 100.0, g / 7.0, g % 3 = 0, md5(g::text)::uuid,
      'title ' || g, repeat(md5(g::text), 20),
      jsonb_build_object('id', g, 'tags', jsonb_build_array('a', 'b', g % 10), 'hash', md5((-g)::text))
    FROM generate_series(1, ${rows}) g;
    CREATE INDEX wide_customer ON wide (customer, created_at);
    CREATE INDEX wide_title ON wide (title)`
}

/** An empty database on the target, with nothing of the run before in either server's way. */
export async function resetTarget({ source, target }: CopyBench): Promise<void> {
  await target.query(`DROP DATABASE IF EXISTS ${targetDatabase} WITH (FORCE)`)
  await target.createDatabase(targetDatabase)
  await target.query('CHECKPOINT')
  await source.query('CHECKPOINT')
}

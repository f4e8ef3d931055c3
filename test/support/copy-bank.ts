/**
 * A small bank that is copied while tellers write: accounts, entries, and wide documents. When
 * all is copied and synced, both sides must hold the same rows, and the balances add up.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Client } from 'pg'
import type { MigratedDatabase } from './migration-pair.ts'
import { until } from './until.ts'

export const bankSchema = `
CREATE TABLE account (id int NOT NULL, balance int NOT NULL, filler char(84));
CREATE TABLE entry (id bigint NOT NULL, account int NOT NULL, amount int NOT NULL, note text);
CREATE TABLE document (id int NOT NULL, body text);
CREATE TABLE small (id int NOT NULL, v int);
CREATE UNLOGGED TABLE scratch (id int NOT NULL);
`

const rows = (accounts: number): string => `
INSERT INTO account SELECT g, 1000, 'x' FROM generate_series(1, ${accounts}) g;
INSERT INTO entry SELECT -g, g % ${accounts} + 1, 0, 'old' FROM generate_series(1, ${accounts}) g;
INSERT INTO document SELECT g, (SELECT string_agg(md5((g * 1000 + i)::text), '')
  FROM generate_series(1, 100) i) FROM generate_series(1, ${Math.floor(accounts / 50)}) g;
INSERT INTO small SELECT g, 0 FROM generate_series(1, 20) g;
INSERT INTO scratch SELECT generate_series(1, 1000);
`

const objects = `
ALTER TABLE account ADD PRIMARY KEY (id);
ALTER TABLE entry ADD PRIMARY KEY (id);
CREATE INDEX entry_account ON entry (account);
ALTER TABLE document ADD PRIMARY KEY (id);
ALTER TABLE small ADD PRIMARY KEY (id);
ALTER TABLE entry ADD CONSTRAINT entry_of FOREIGN KEY (account) REFERENCES account;
`

/** The statements for the source beside bankSchema. */
export function bankRows(accounts: number): string {
  return `SET ROLE app; ${rows(accounts)} ${objects}`
}

/** Hundreds of transactions a second, and still time for the copy. */
const restMs = 5
const reconnectMs = 20

export interface Tellers {
  /** Transactions that were acknowledged so far. */
  done(): number
  stop(): Promise<void>
}

/** They outlive restarts of the server; a transaction without an answer is not counted. */
export function startTellers(url: () => string, accounts: number, count = 3): Tellers {
  const over = new AbortController()
  let done = 0
  const teller = async (number: number): Promise<void> => {
    let entry = number
    while (!over.signal.aborted) {
      const client = new Client({ connectionString: url(), connectionTimeoutMillis: 2_000 })
      client.on('error', () => undefined)
      try {
        await client.connect()
        while (!over.signal.aborted) {
          entry += count
          await client.query(transfer(entry, accounts))
          done += 1
          await sleep(restMs)
        }
      } catch {
        await sleep(reconnectMs)
      } finally {
        await client.end().catch(() => undefined)
      }
    }
  }
  const all = Promise.all(Array.from({ length: count }, (_, number) => teller(number + 1)))
  return {
    done: () => done,
    stop: async () => {
      over.abort()
      await all
    },
  }
}

/** Inserts, updates and deletes, of old rows and of new ones. */
function transfer(entry: number, accounts: number): string {
  const from = ((entry * 7919) % accounts) + 1
  const to = ((entry * 104_729) % accounts) + 1
  return `BEGIN;
    UPDATE account SET balance = balance - 1 WHERE id = ${Math.min(from, to)};
    UPDATE account SET balance = balance + 1 WHERE id = ${Math.max(from, to)};
    INSERT INTO entry VALUES (${entry}, ${to}, 1, 'new');
    DELETE FROM entry WHERE id = -${from};
    UPDATE document SET body = body || 'x' WHERE id = ${(entry % Math.floor(accounts / 50)) + 1};
    UPDATE small SET v = v + 1 WHERE id = ${(entry % 20) + 1};
    COMMIT`
}

const contents = ['account', 'entry', 'document', 'small', 'scratch']
  .map(
    (table) =>
      `SELECT '${table}' AS name, count(*), count(DISTINCT id) AS ids, ` +
      `md5(string_agg(md5(x::text), '' ORDER BY id)) AS hash FROM ${table} x`,
  )
  .join(' UNION ALL ')
  .concat(' ORDER BY 1')

export type BankPicture = readonly Record<string, unknown>[]

export function bankPicture(db: MigratedDatabase, side: 'source' | 'target'): Promise<BankPicture> {
  return db.query(side, contents)
}

/** Waits until both sides are the same, and gives both as they are then. */
export async function untilBankIsEqual(db: MigratedDatabase, deadlineMs: number): Promise<void> {
  let seen = ''
  await until(
    async () => {
      const [source, target] = await Promise.all([
        bankPicture(db, 'source'),
        bankPicture(db, 'target'),
      ])
      seen = JSON.stringify({ source, target }, null, 1)
      return JSON.stringify(source) === JSON.stringify(target)
    },
    'the sides become equal',
    deadlineMs,
  ).catch((error: unknown) => {
    throw new Error(`${String(error)}\n${seen}`)
  })
}

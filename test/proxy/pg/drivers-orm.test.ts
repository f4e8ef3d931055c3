/**
 * Drizzle (on node-postgres and on postgres.js) and TypeORM: migrations, reads and writes,
 * transactions, from several pools on few servers.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eq, inArray, sql } from 'drizzle-orm'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import { integer, pgTable, serial, text } from 'drizzle-orm/pg-core'
import { drizzle as drizzlePostgresJs } from 'drizzle-orm/postgres-js'
import { Pool } from 'pg'
import postgres from 'postgres'
import t from 'tap'
import type { Test } from 'tap'
import { DataSource, EntitySchema } from 'typeorm'
import type { MigrationInterface, QueryRunner } from 'typeorm'
import { startPostgres } from '../../support/postgres.ts'
import { shareServers } from './drivers-shared.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

const authors = pgTable('authors', { id: serial().primaryKey(), name: text().notNull() })
const books = pgTable('books', {
  id: serial().primaryKey(),
  authorId: integer('author_id')
    .references(() => authors.id)
    .notNull(),
  title: text().notNull(),
  copies: integer().notNull().default(0),
})

/** As drizzle-kit writes them. */
function migrationFolder(test: Test): string {
  const folder = test.testdir({})
  const steps = [
    'CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL);',
    'CREATE TABLE books (id serial PRIMARY KEY, author_id int NOT NULL REFERENCES authors, ' +
      'title text NOT NULL);--> statement-breakpoint\n' +
      'ALTER TABLE books ADD COLUMN copies int NOT NULL DEFAULT 0;',
  ]
  mkdirSync(join(folder, 'meta'))
  const entries = steps.map((step, idx) => {
    const tag = `000${idx}_step`
    writeFileSync(join(folder, `${tag}.sql`), step)
    return { idx, version: '7', when: 1_700_000_000_000 + idx, tag, breakpoints: true }
  })
  const journal = { version: '7', dialect: 'postgresql', entries }
  writeFileSync(join(folder, 'meta', '_journal.json'), JSON.stringify(journal))
  return folder
}

type Drizzle = ReturnType<typeof drizzle> | ReturnType<typeof drizzlePostgresJs>

/** One author with books, changed in transactions, of which one is rolled back. */
async function useDrizzle(test: Test, db: Drizzle, name: string): Promise<void> {
  const [author] = await db.insert(authors).values({ name }).returning()
  const authorId = author?.id ?? 0
  const titles = ['one', 'two', 'three'].map((title) => ({ authorId, title }))
  await db.insert(books).values(titles)
  await db.transaction(async (tx) => {
    await tx
      .update(books)
      .set({ copies: sql`${books.copies} + 5` })
      .where(eq(books.authorId, authorId))
    const nested = tx.transaction(async (inner) => {
      await inner.delete(books).where(eq(books.authorId, authorId))
      inner.rollback()
    })
    await test.rejects(nested, { message: /Rollback/ })
  })
  const failing = db.transaction(async (tx) => {
    await tx.insert(books).values({ authorId, title: 'never' })
    await tx.insert(books).values({ authorId: -1, title: 'no such author' })
  })
  await test.rejects(failing, { cause: { code: '23503' } })
  const found = await db
    .select({ title: books.title, copies: books.copies, name: authors.name })
    .from(books)
    .innerJoin(authors, eq(books.authorId, authors.id))
    .where(inArray(books.title, ['one', 'two', 'three', 'never']))
    .orderBy(books.id)
  const own = found.filter((row) => row.name === name)
  test.strictSame(
    own.map(({ title, copies }) => `${title} ${copies}`),
    ['one 5', 'two 5', 'three 5'],
  )
}

await t.test('Drizzle: migrations, transactions and nested ones', async (test) => {
  const folder = migrationFolder(test)
  await shareServers(test, { server, clients: 12, size: 2 }, async (pontoon) => {
    const pools = [0, 1].map(() => new Pool({ connectionString: pontoon.url(), max: 4 }))
    const viaPostgresJs = postgres(pontoon.url(), { max: 4, onnotice: () => undefined })
    const [first, second] = pools.map((pool) => drizzle(pool))
    if (first === undefined || second === undefined) throw new Error('two pools were made')
    await migrate(first, { migrationsFolder: folder })
    await migrate(second, { migrationsFolder: folder })
    const all = [first, second, drizzlePostgresJs(viaPostgresJs)]
    await Promise.all(
      Array.from({ length: 24 }, (_, index) => {
        const db = all[index % all.length] ?? first
        return useDrizzle(test, db, `author ${index}`)
      }),
    )
    const prepared = first
      .select()
      .from(authors)
      .where(eq(authors.name, sql.placeholder('name')))
      .prepare('by_name')
    const found = await Promise.all(
      Array.from({ length: 24 }, (_, index) => prepared.execute({ name: `author ${index}` })),
    )
    test.ok(found.every((rows, index) => rows[0]?.name === `author ${index}`))
    await Promise.all([...pools.map((pool) => pool.end()), viaPostgresJs.end()])
  })
  const [row] = await server.query('SELECT count(*)::int AS books, sum(copies)::int FROM books')
  test.strictSame(row, { books: 24 * 3, sum: 24 * 15 }, 'everything once')
})

interface Account {
  id: number
  owner: string
  balance: number
}

const accounts = new EntitySchema<Account>({
  name: 'Account',
  tableName: 'accounts',
  columns: {
    id: { type: Number, primary: true, generated: true },
    owner: { type: String, unique: true },
    balance: { type: Number, default: 0 },
  },
})

class MakeAccounts1700000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'CREATE TABLE accounts (id serial PRIMARY KEY, owner varchar UNIQUE NOT NULL, balance int)',
    )
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE accounts')
  }
}

class DemandBalance1700000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE accounts ALTER balance SET NOT NULL')
    await runner.query('ALTER TABLE accounts ALTER balance SET DEFAULT 0')
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE accounts ALTER balance DROP NOT NULL')
  }
}

function dataSource(url: string): DataSource {
  return new DataSource({
    type: 'postgres',
    url,
    entities: [accounts],
    migrations: [MakeAccounts1700000000001, DemandBalance1700000000002],
    extra: { max: 4 },
  })
}

/** Takes from one and gives to the next, with row locks, in the order of their numbers. */
async function transfer(source: DataSource, from: number, to: number): Promise<void> {
  await source.transaction('REPEATABLE READ', async (manager) => {
    const both = await manager
      .createQueryBuilder(accounts, 'account')
      .setLock('pessimistic_write')
      .where('account.id IN (:...ids)', { ids: [from, to] })
      .orderBy('account.id')
      .getMany()
    for (const account of both) account.balance += account.id === from ? -1 : 1
    await manager.save(accounts, both)
  })
}

const mayBeRetried = (failure: unknown): boolean =>
  failure instanceof Error && /could not serialize|deadlock/.test(failure.message)

await t.test('TypeORM: migrations, repositories, transactions with locks', async (test) => {
  await shareServers(test, { server, clients: 8, size: 2 }, async (pontoon) => {
    const sources = [dataSource(pontoon.url()), dataSource(pontoon.url())]
    for (const source of sources) await source.initialize()
    const [first, second] = sources
    if (first === undefined || second === undefined) throw new Error('two were made')
    test.equal((await first.runMigrations({ transaction: 'each' })).length, 2)
    test.equal((await second.runMigrations()).length, 0, 'they are done')
    const repository = first.getRepository(accounts)
    const made = await repository.save(
      Array.from({ length: 10 }, (_, index) => ({ owner: `owner ${index}`, balance: 100 })),
    )
    await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const source = sources[index % 2] ?? first
        const [from, to] = [made[index % 10]?.id ?? 0, made[(index + 1) % 10]?.id ?? 0]
        // Another transaction may have come first: then it is tried again, as applications do.
        for (let attempt = 0; ; attempt += 1) {
          const failure: unknown = await transfer(source, from, to).catch((error: unknown) => error)
          if (failure === undefined) return
          if (attempt > 50 || !mayBeRetried(failure)) throw failure
        }
      }),
    )
    await second.getRepository(accounts).upsert({ owner: 'owner 0', balance: 1_000 }, ['owner'])
    await test.rejects(repository.insert({ owner: 'owner 1' }), { message: /duplicate key/ })
    await test.rejects(
      second.transaction(async (manager) => {
        await manager.delete(accounts, { owner: 'owner 2' })
        throw new Error('on purpose')
      }),
      { message: 'on purpose' },
    )
    test.equal(await second.getRepository(accounts).sum('balance'), 900 + 1_000)
    await first.undoLastMigration()
    for (const source of sources) await source.destroy()
  })
})

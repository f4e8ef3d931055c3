/**
 * Clients that share few servers, cancel whatever they do at any moment, pipeline, set, prepare and
 * begin, while the gate shuts and servers end: each gets its own answers in order, is cancelled by
 * nobody else's request, and keeps exactly the settings that it has set. A failing seed is printed;
 * run it again with CANCEL_SEED.
 */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Test } from 'tap'
import {
  bind,
  cancelRequest,
  execute,
  flush,
  parse,
  query,
  sync,
} from '../../support/pg-frontend.ts'
import { connect, rowValues } from '../../support/pg-wire.ts'
import type { BackendMessage } from '../../support/pg-wire.ts'
import { sqlstate, startPontoon, until } from '../../support/pontoon.ts'
import type { Pontoon, PontoonOptions, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const seed = Number(process.env['CANCEL_SEED'] ?? Date.now() % 1_000_000)
const rounds = Number(process.env['CANCEL_ROUNDS'] ?? 60)
const clientCount = 6

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())

/** Mulberry32. */
function randomOf(state: number): (below: number) => number {
  let at = state
  return (below) => {
    at = (at + 0x6d2b79f5) | 0
    let mixed = Math.imul(at ^ (at >>> 15), 1 | at)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** One request: what is sent, and the text that each of its rows must be. */
interface Request {
  readonly bytes: readonly Buffer[]
  readonly rows: readonly string[]
  /** What the client has set when it succeeds. */
  readonly sets?: string
}

class Caller {
  readonly #test: Test
  readonly #pontoon: Pontoon
  #client: RawClient
  readonly #random: (below: number) => number
  readonly #name: string
  /** Servers end: then so may this client's connection, and it comes again. */
  readonly #mayEnd: boolean
  #turn = 0
  #prepared = 0
  #setting = ''
  #isInTransaction = false
  /** Cancel requests that are not through yet. */
  readonly #cancels = new Set<Promise<void>>()

  constructor(test: Test, pontoon: Pontoon, client: RawClient, number: number, mayEnd: boolean) {
    this.#test = test
    this.#pontoon = pontoon
    this.#client = client
    this.#mayEnd = mayEnd
    this.#name = `client ${number}`
    this.#random = randomOf(seed * 100 + number)
  }

  async run(): Promise<void> {
    for (let round = 0; round < rounds; round += 1) await this.#round()
    await Promise.all(this.#cancels)
    await this.#expect([{ bytes: [query(settingShown)], rows: [this.#setting] }])
    this.#client.wire.destroy()
  }

  async #round(): Promise<void> {
    const requests = Array.from({ length: 1 + this.#random(3) }, () => this.#request())
    if (this.#random(4) === 0) requests.push(...this.#transaction())
    const cancelling = this.#random(2) === 0 ? this.#cancelSoon() : Promise.resolve()
    await this.#expect(requests)
    // Cancelled behind its BEGIN; the ROLLBACK may be cancelled, too.
    while (this.#isInTransaction) await this.#expect([{ bytes: [query('ROLLBACK')], rows: [] }])
    if (this.#random(2) === 0) await cancelling
  }

  async #expect(requests: readonly Request[]): Promise<void> {
    try {
      await this.#ask(requests)
    } catch (error) {
      if (!this.#mayEnd) throw error
      await this.#client.wire.closed()
      await this.#comeAgain()
    }
  }

  async #comeAgain(): Promise<void> {
    await Promise.all(this.#cancels)
    this.#setting = ''
    this.#isInTransaction = false
    await until(async () => {
      const made = await this.#pontoon.client().catch(() => null)
      if (made !== null) this.#client = made
      return made !== null
    }, 'a client to get in')
  }

  /** Sends all in one go and checks what comes back. */
  async #ask(requests: readonly Request[]): Promise<void> {
    const { wire } = this.#client
    let mayBeCancelled = this.#cancels.size > 0
    await wire.send(...requests.flatMap(({ bytes }) => bytes))
    for (const { rows, sets } of requests) {
      const answer = await wire.until('Z')
      mayBeCancelled ||= this.#cancels.size > 0
      const state = sqlstate(answer)
      if (state === '') {
        this.#test.strictSame(rowsIn(answer), rows, this.#name)
        if (sets !== undefined) this.#setting = sets
      } else if (state !== '57014' || !mayBeCancelled) this.#test.fail(`${this.#name}: ${state}`)
      this.#isInTransaction = answer.at(-1)?.body.toString() !== 'I'
    }
  }

  async #cancelSoon(): Promise<void> {
    const cancelling = this.#cancel()
    this.#cancels.add(cancelling)
    await cancelling
    this.#cancels.delete(cancelling)
  }

  async #cancel(): Promise<void> {
    const { pid, secret } = this.#client
    const wire = await connect(this.#pontoon.host, this.#pontoon.port)
    await delay(this.#random(8))
    await wire.send(cancelRequest(pid, secret))
    await wire.closed()
  }

  #request(): Request {
    this.#turn += 1
    const token = `${this.#name}, ${this.#turn}`
    const sleep = `pg_sleep(0.00${this.#random(10)})::text`
    switch (this.#random(6)) {
      case 0:
        return { bytes: [query(`SELECT '${token}'`)], rows: [token] }
      case 1:
        return { bytes: [query(`SELECT '${token}', ${sleep}`)], rows: [token] }
      case 2:
        return {
          bytes: [query(`SET test.mine = '${token}'; SELECT ${sleep}`)],
          rows: [''],
          sets: token,
        }
      case 3: {
        const begun = [parse('SET LOCAL test.mine = 1'), bind(), execute()]
        const asked = [parse(`SELECT '${token}', ${sleep}`), bind(), execute(), flush()]
        return { bytes: [...begun, ...asked, sync()], rows: [token] }
      }
      case 4:
        return this.#preparedRequest(token, sleep)
      default:
        return {
          bytes: [query(`SELECT 1 FROM pg_class LIMIT 0; SELECT '${token}'`)],
          rows: [token],
        }
    }
  }

  #transaction(): readonly Request[] {
    const token = `${this.#name}, in a transaction`
    const select = `SELECT '${token}', pg_sleep(0.003)`
    if (this.#random(2) === 0)
      return [{ bytes: [query(`BEGIN; ${select}; COMMIT`)], rows: [token] }]
    return [
      { bytes: [query('BEGIN READ ONLY')], rows: [] },
      { bytes: [parse(select), bind(), execute(), sync()], rows: [token] },
      { bytes: [query('COMMIT')], rows: [] },
    ]
  }

  /** A name of its own each time; the text is shared by all clients. */
  #preparedRequest(token: string, sleep: string): Request {
    this.#prepared += 1
    const statement = `s${this.#prepared}`
    const sql = `SELECT $1::text, ${sleep}`
    return {
      bytes: [parse(sql, statement), bind({ statement, values: [token] }), execute(), sync()],
      rows: [token],
    }
  }
}

const settingShown = "SELECT coalesce(current_setting('test.mine', true), '')"

const rowsIn = (answer: readonly BackendMessage[]): (string | null)[] =>
  answer.filter(({ type }) => type === 'D').map((row) => rowValues(row)[0] ?? null)

const endOne = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
  WHERE pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY random() LIMIT 1`

/** Shuts and opens the gate and has servers opened anew, at any moment, while `isOn`. */
async function disturb(
  { service }: Pontoon,
  endsServers: boolean,
  isOn: () => boolean,
): Promise<void> {
  const random = randomOf(seed)
  while (isOn()) {
    void service.pause(60_000, 1, 'a test')
    await delay(random(10))
    service.resume()
    if (random(4) === 0) service.reconnect()
    if (endsServers && random(2) === 0) await server.query(endOne)
    await delay(random(40))
  }
}

const size = 2
const services: Readonly<Record<string, Partial<PontoonOptions>>> = {
  'session mode': { mode: 'session', pool: { size: clientCount } },
  'transaction mode': { pool: { size } },
  'transaction mode with reads elsewhere': { pool: { size }, route: { reads: 100 } },
  'transaction mode on servers that end': { pool: { size }, route: { reads: 50 } },
}

for (const [name, options] of Object.entries(services)) {
  void t.test(`${name}: cancel requests at any moment`, async (test) => {
    test.comment(`seed ${seed}`)
    const pontoon = await startPontoon({ source: server, ...options })
    test.teardown(() => pontoon.stop())
    const endsServers = name.endsWith('end')
    const callers: Caller[] = []
    for (let number = 0; number < clientCount; number += 1)
      callers.push(new Caller(test, pontoon, await pontoon.client(), number, endsServers))
    let isOver = false
    const disturbing = disturb(pontoon, endsServers, () => !isOver)
    await Promise.all(callers.map((caller) => caller.run())).finally(() => (isOver = true))
    await disturbing
    await pontoon.untilIdle()
    if (!endsServers) test.strictSame([...pontoon.service.stats.ownErrors], [])
    test.strictSame(pontoon.service.snapshot().pinned, {})
  })
}

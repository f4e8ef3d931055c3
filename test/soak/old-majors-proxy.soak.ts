/**
 * The corpus of test/proxy/pg/transparency.test.ts with servers of old majors: a session through
 * Pontoon gives the bytes of a session with the server itself. A statement that such a server does
 * not know is refused alike. And reads on a newer side come back unharmed. PONTOON_SOAK_MAJORS
 * names the majors (default `10 13 14`).
 */
import tap from 'tap'
import type { Test } from 'tap'
import { inLanes, play, whole } from '../proxy/pg/answers.ts'
import { corpus, corpusSetup } from '../proxy/pg/corpus.ts'
import { typeScripts } from '../proxy/pg/corpus-types.ts'
import { withoutExceptions } from '../proxy/pg/exceptions.ts'
import type { Exception } from '../proxy/pg/exceptions.ts'
import type { Script } from '../proxy/pg/corpus-script.ts'
import { readParameterStatus } from '../../src/wire/pg/read.ts'
import { rowValues } from '../support/pg-wire.ts'
import { ask, startPontoon, until } from '../support/pontoon.ts'
import { majorOf } from '../support/postgres-binaries.ts'
import { startPostgres } from '../support/postgres.ts'
import type { PostgresServer } from '../support/postgres.ts'

const majors = (process.env['PONTOON_SOAK_MAJORS'] ?? '10 13 14').split(' ').map(majorOf)
const atOnce = 6
/** Before 14 the server reads on after what does not belong into a COPY, and nobody closes. */
const neverEnding =
  /^Terminate (?:amid COPY data|in the write of a COPY)|^COPY in, a query amid the data/

/** Before 14 a setting that a reset leaves as it is is told all the same, if it was ever set. */
const toldAgain = 'Sclient_encoding\0UTF8\0'
const resetting = 'a session that was started with settings'

tap.setTimeout(3_600_000)

for (const major of majors) {
  await tap.test(`PostgreSQL ${major}`, async (t) => {
    const settings = { max_connections: '60' }
    const server = await startPostgres({ major, auth: 'trust', settings })
    t.teardown(() => server.stop())
    // Procedures came with 11; a function may not commit, and says so.
    const procedure = major < 11 ? 'CREATE FUNCTION commits() RETURNS void' : '$&'
    await server.query(corpusSetup.replace('CREATE PROCEDURE commits()', procedure))
    const { scripts: ofTypes } = await typeScripts(server.port)
    const scripts = [...corpus, ...ofTypes].filter(
      ({ name }) => major >= 14 || !neverEnding.test(name),
    )
    const eachScript = (run: (script: Script) => Promise<void>) =>
      inLanes(scripts, ({ uses }) => uses, atOnce, run)
    const direct = new Map<Script, string[]>()
    await eachScript(async (script) => {
      direct.set(script, await play(server.port, script, whole))
    })
    for (const mode of ['session', 'transaction'] as const) {
      const size = mode === 'session' ? 20 : 4
      const pontoon = await startPontoon({ source: server, mode, pool: { size } })
      t.teardown(() => pontoon.stop())
      await eachScript(async (script) => {
        const found = await play(pontoon.port, script, whole)
        const told = major < 14 && script.name === resetting ? toldAgain : ''
        const common = (answers: readonly string[]): string[] =>
          withoutExceptions(answers, script.name, mode, new Set<Exception>()).map((answer) =>
            answer.replace(told, ''),
          )
        t.strictSame(common(found), common(direct.get(script) ?? []), `${mode}: ${script.name}`)
      })
      await pontoon.untilIdle(30_000)
    }
    await t.test('reads on a newer side, and back', (test) => readsAndBack(test, server))
  })
}

/** What only the newer side reports is never taken back by the old one, so it must hold there too. */
async function readsAndBack(test: Test, source: PostgresServer): Promise<void> {
  const target = await startPostgres({ major: 17, auth: 'trust' })
  test.teardown(() => target.stop())
  for (const [name, server] of Object.entries({ source, target }))
    await server.query(`CREATE TABLE sides AS SELECT '${name}' AS name, 1 AS id`)
  const pontoon = await startPontoon({
    source,
    target,
    config: { route: { readAfterWriteMs: 0 } },
    route: { phase: 'canary', reads: 100 },
  })
  test.teardown(() => pontoon.stop())
  const client = await pontoon.client()
  const told = new Map(Object.entries(client.parameters))
  const nameBy = async (sql: string): Promise<string | null | undefined> => {
    const messages = await ask(client, sql)
    for (const { type, body } of messages)
      if (type === 'S') told.set(...readParameterStatus(body, 0, body.length))
    const row = messages.find(({ type }) => type === 'D')
    return row === undefined ? undefined : rowValues(row)[0]
  }
  const major = (): number => Number.parseInt(told.get('server_version') ?? '', 10)
  await until(
    async () => (await nameBy('SELECT name FROM sides')) === 'target',
    'reads are recognised',
  )
  test.equal(major(), 17)
  test.not(told.get('default_transaction_read_only'), 'on', 'the client may write all the same')
  test.equal(await nameBy('UPDATE sides SET id = 2 RETURNING name'), 'source')
  test.equal(major(), source.major)
  test.not(told.get('default_transaction_read_only'), 'on', 'nor is it told so here')
  test.equal(await nameBy('SELECT name FROM sides'), 'target')
  await pontoon.untilIdle()
}

/** What `pontoon check` and the health of a side find. */
import t from 'tap'
import { postgresService } from '../../../src/config/schema.ts'
import { probeSide } from '../../../src/net/pg/probe.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'trust' })
t.teardown(() => server.stop())
await server.createUser({ name: 'app' })

void t.test('a side without a database of the role’s name is no side in trouble', async (test) => {
  const { source: side } = postgresService.parse({
    protocol: 'postgres',
    listen: '127.0.0.1:6432',
    source: { host: server.host, port: server.port },
    target: { host: 'target' },
  })
  const role = { user: 'app', password: null, database: 'app' }
  const guessed = await probeSide(side, { ...role, isDatabaseGuessed: true })
  test.ok(guessed.ok)
  test.match(guessed.steps, [
    { name: 'dns' },
    { name: 'tcp' },
    { name: 'login', text: 'logged in as app to database postgres' },
    { name: 'query' },
  ])
  const configured = await probeSide(side, role)
  test.notOk(configured.ok)
  test.match(configured.steps.at(-1), {
    name: 'login',
    code: 'SERVER_REJECTED',
    text: /"app" does/,
  })
})

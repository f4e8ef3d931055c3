/** The sidecar as a process: how it starts, and what it says when it cannot, or is only to check. */
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { freePort } from '../support/free-port.ts'
import { startPostgres } from '../support/postgres.ts'
import { connect, runPontoon, Sidecar } from './sidecar.ts'

t.setTimeout(280_000)
const source = await startPostgres({ major: 15 })
const target = await startPostgres({ major: 17 })
t.teardown(() => Promise.all([source.stop(), target.stop()]))

void t.test(
  'it starts without its databases, says so, and works once they are there',
  async (test) => {
    const later = { port: await freePort(), password: 'postgres' }
    const never = { port: await freePort(), password: 'postgres' }
    const sidecar = await Sidecar.start(test, { source: later, target: never })
    test.equal((await sidecar.request('/health/ready')).status, 200)
    await sidecar.until('reported', () => sidecar.log.includes('a side cannot be reached'))
    const sourceIs = (state: string) => async (): Promise<boolean> => {
      const view = await sidecar.request('/v1/services/orders')
      return Object(view.json['sides']).source.state === state
    }
    // The report may be of the other side.
    await sidecar.until('unreachable', sourceIs('unreachable'))
    const { json } = await sidecar.request('/v1/services/orders')
    test.match(json, { sides: { source: { state: 'unreachable', code: 'CONNECT_FAILED' } } })
    await test.rejects(connect(sidecar.url()), { code: /^08/ })
    const check = await runPontoon(['check', '--config', sidecar.configFile])
    test.equal(check.exit, 1)
    test.match(check.stdout, /FAILED +connect.*\[CONNECT_FAILED\]/)
    test.match(check.stdout, /2 of 2 sides cannot be used/)
    const server = await startPostgres({ major: 15, ...later })
    test.teardown(() => server.stop())
    const client = await connect(sidecar.url())
    test.match((await client.query('SELECT 1 AS one')).rows, [{ one: 1 }])
    await client.end()
    await sidecar.until('reachable', sourceIs('reachable'))
  },
)

void t.test(
  'a port in use, a state folder in use and a wrong file say so and exit with 1',
  async (test) => {
    const sidecar = await Sidecar.start(test, { source, target })
    const same = await runPontoon(['serve', '--config', sidecar.configFile])
    test.equal(same.exit, 1)
    test.match(same.stderr, /STATE_LOCKED/)
    const folder = test.testdir({
      'pontoon.yml': readFileSync(sidecar.configFile, 'utf8').replace(
        /admin: .*/,
        'admin: { listen: 127.0.0.1:0 }',
      ),
      'wrong.yml': 'services: { orders: { protocol: postgress } }',
    })
    const taken = await runPontoon(['serve', '--config', `${folder}/pontoon.yml`])
    test.equal(taken.exit, 1)
    test.match(taken.stderr, new RegExp(`127.0.0.1:${sidecar.port}.*LISTEN_IN_USE`))
    const wrong = await runPontoon(['serve', '--config', `${folder}/wrong.yml`])
    test.equal(wrong.exit, 1)
    test.match(wrong.stderr, /wrong.yml.*services.orders.protocol.*CONFIG_INVALID/s)
    const missing = await runPontoon(['serve', '--config', `${folder}/nowhere.yml`])
    test.match(missing.stderr, /nowhere.yml.*CONFIG_UNREADABLE/s)
  },
)

void t.test(
  'check says what is right with both sides, and what is wrong with a password',
  async (test) => {
    const folder = test.testdir({})
    const file = `${folder}/pontoon.yml`
    const write = (password: string): void =>
      writeFileSync(
        file,
        `
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:6432
    clientAuth: { mode: trust }
    source: { host: 127.0.0.1, port: ${source.port}, database: postgres, user: postgres, password: ${source.password} }
    target: { host: localhost, port: ${target.port}, database: postgres, user: postgres, password: ${password} }
`,
      )
    write(target.password)
    const good = await runPontoon(['check', '--config', file, '--json'])
    test.equal(good.exit, 0, good.stderr)
    test.match(JSON.parse(good.stdout), {
      ok: true,
      sides: [{ serverVersion: /^15/ }, { serverVersion: /^17/ }],
    })
    write('wrong')
    const bad = await runPontoon(['check', '--config', file])
    test.equal(bad.exit, 1)
    test.match(bad.stdout, /orders target.*FAILED +login.*password.*\[SERVER_AUTH_FAILED\]/s)
    test.match(bad.stdout, /1 of 2 sides cannot be used: orders target/)
    test.equal((await runPontoon(['check', '--config', file, '--offline'])).exit, 0)
  },
)

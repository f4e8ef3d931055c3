/** Who gets the console. */
import t from 'tap'
import {
  consoleRole,
  isConsoleDatabase,
  provingDatabase,
} from '../../../../src/proxy/pg/console/access.ts'
import { serviceConfig } from '../../../support/pontoon.ts'

const source = { host: '127.0.0.1', port: 1 }
const configOf = (config: Record<string, unknown>): ReturnType<typeof serviceConfig> =>
  serviceConfig({ source, config })
const open = configOf({ consoleUsers: ['ops'], statsUsers: ['eyes', 'ops'] })

void t.test('without users there is no console', async (test) => {
  test.notOk(isConsoleDatabase(configOf({}), 'pgbouncer'))
  test.ok(isConsoleDatabase(open, 'pgbouncer'))
  test.ok(isConsoleDatabase(open, 'pontoon'))
  test.notOk(isConsoleDatabase(open, 'postgres'))
  test.ok(isConsoleDatabase(configOf({ statsUsers: ['eyes'] }), 'pontoon'))
})

void t.test('a real database of that name is never hidden', async (test) => {
  const config = configOf({ consoleUsers: ['ops'], databases: ['pontoon'] })
  test.notOk(isConsoleDatabase(config, 'pontoon'))
  test.ok(isConsoleDatabase(config, 'pgbouncer'))
})

void t.test('roles', async (test) => {
  test.equal(consoleRole(open, 'ops', true), 'admin', 'in both lists')
  test.equal(consoleRole(open, 'eyes', true), 'stats')
  test.throws(() => consoleRole(open, 'app', true), { code: 'CLIENT_NOT_ALLOWED' })
})

void t.test('trust proves nothing: only clients of this machine', async (test) => {
  test.throws(() => consoleRole(open, 'ops', false), { code: 'CLIENT_NOT_ALLOWED' })
  const users = { ops: { verifier: 'secret' } }
  const proving = configOf({ consoleUsers: ['ops'], clientAuth: { mode: 'scram' }, users })
  test.equal(consoleRole(proving, 'ops', false), 'admin')
})

void t.test('a password is proved where a database is', async (test) => {
  test.equal(provingDatabase(open, 'orders'), 'orders')
  test.equal(provingDatabase(open, 'pgbouncer'), 'postgres')
  const listed = configOf({ consoleUsers: ['ops'], databases: ['shop'] })
  test.equal(provingDatabase(listed, 'pontoon'), 'shop')
})

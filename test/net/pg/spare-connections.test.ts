/** Connections opened ahead of their login, to a real server through a relay that can be cut. */
import t from 'tap'
import { connectSide, type Connected } from '../../../src/net/pg/connect.ts'
import { login, type LoginOptions } from '../../../src/net/pg/login.ts'
import { SpareConnections } from '../../../src/net/pg/spare-connections.ts'
import { createAuthority } from '../../support/certificates.ts'
import { startPostgres } from '../../support/postgres.ts'
import { startRelay } from '../../support/relay.ts'
import { until } from '../../support/until.ts'

const timeoutMs = 20_000
const authority = await createAuthority()
const certificate = await authority.server()
const server = await startPostgres({ major: 15, auth: 'trust', tls: certificate })
t.teardown(() => server.stop())
await server.createUser({ name: 'app' })

for (const mode of ['disable', 'require'] as const) {
  void t.test(`tls.mode ${mode}`, async (test) => {
    const relay = await startRelay({ to: server })
    test.teardown(() => relay.close())
    const endpoint = { host: relay.host, port: relay.port }
    const tls = {
      mode,
      negotiation: 'postgres',
      channelBinding: 'disable',
      options: { rejectUnauthorized: false },
    } as const
    const spares = new SpareConnections()
    test.teardown(() => spares.close())
    const options: LoginOptions = {
      endpoint,
      tls,
      parameters: new Map([
        ['user', 'app'],
        ['database', 'postgres'],
      ]),
      password: null,
      timeoutMs,
      spares,
    }
    const connect = (leftMs: number): Promise<Connected> => connectSide(endpoint, tls, leftMs)
    const logIn = async (): Promise<boolean> => {
      const { socket, pid, isOverSpare } = await login(options)
      socket.destroy()
      if (pid <= 0) throw new Error('no backend')
      return isOverSpare
    }

    await test.test('logins take them first', async (one) => {
      await spares.fill(connect, 3, timeoutMs)
      one.equal(spares.size, 3)
      await until(() => relay.accepted === 3, 'all have come')
      for (let count = 0; count < 3; count += 1) one.ok(await logIn())
      one.equal(relay.accepted, 3)
      one.notOk(await logIn())
      one.equal(relay.accepted, 4, 'then new ones')
    })

    await test.test('those that are gone are in nobody’s way', async (one) => {
      await spares.fill(connect, 2, timeoutMs)
      relay.cut()
      one.notOk(await logIn())
    })

    await test.test('what is not needed is closed', async (one) => {
      await spares.fill(connect, 2, timeoutMs)
      await until(() => relay.connections === 2, 'both are there')
      const late = spares.fill(connect, 50, timeoutMs)
      spares.close()
      await late
      one.equal(spares.size, 0)
      await until(() => relay.connections === 0, 'all are closed')
    })

    await test.test('a side that is down ends it', async (one) => {
      relay.refuse()
      await spares.fill(connect, 50, timeoutMs)
      await until(() => spares.size === 0, 'none is kept')
      one.pass('nobody was told')
    })
  })
}

void t.test('one that began while the server was full is no hindrance later', async (test) => {
  const settings = {
    max_connections: '3',
    superuser_reserved_connections: '0',
    max_wal_senders: '0',
    max_worker_processes: '1',
    autovacuum_max_workers: '1',
  }
  const small = await startPostgres({ major: 15, auth: 'trust', tls: certificate, settings })
  test.teardown(() => small.stop())
  const endpoint = { host: small.host, port: small.port }
  const options: LoginOptions = {
    endpoint,
    tls: {
      mode: 'require',
      negotiation: 'postgres',
      channelBinding: 'disable',
      options: { rejectUnauthorized: false },
    },
    parameters: new Map([
      ['user', 'postgres'],
      ['database', 'postgres'],
    ]),
    password: null,
    timeoutMs,
  }
  const connect = (leftMs: number): Promise<Connected> => connectSide(endpoint, options.tls, leftMs)
  const tryLogin = async (more: Partial<LoginOptions>): Promise<string> => {
    try {
      const { socket } = await login({ ...options, ...more })
      socket.destroy()
      return 'in'
    } catch (error) {
      return String(error)
    }
  }
  const spares = new SpareConnections()
  test.teardown(() => spares.close())
  const many: Connected[] = []
  // More than twice the processes that the settings add up to, so that it takes no more.
  while (many.length < 30) many.push(await connect(timeoutMs))
  await spares.fill(connect, 1, timeoutMs)
  for (const { socket } of many) socket.destroy()
  await until(async () => (await tryLogin({})) === 'in', 'there is room again')
  test.equal(spares.size, 1)
  test.equal(await tryLogin({ spares }), 'in')
})

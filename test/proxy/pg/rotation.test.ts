/**
 * Passwords that change while clients are at work, and tokens: real servers, the real SDK, and a
 * local stand-in for Secrets Manager.
 */
import t from 'tap'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client, escapeLiteral } from 'pg'
import { awsCalls } from '../../../src/net/secrets/aws.ts'
import { Secrets } from '../../../src/net/secrets/secrets.ts'
import { createPostgresService } from '../../../src/proxy/pg/service.ts'
import { systemClock } from '../../../src/shared/clock.ts'
import type { Clock } from '../../../src/shared/clock.ts'
import { silentLog } from '../../../src/shared/log.ts'
import { createAuthority } from '../../support/certificates.ts'
import { MockSecretsManager } from '../../support/mock-secrets-manager.ts'
import { Pontoon, serviceConfig, startPontoon, until } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'
import type { PostgresServer } from '../../support/postgres.ts'

process.env['AWS_ACCESS_KEY_ID'] = 'AKIAEXAMPLE'
process.env['AWS_SECRET_ACCESS_KEY'] = 'example-secret-key'
process.env['AWS_SESSION_TOKEN'] = 'session'.repeat(100)

const users = { app: { verifier: 'client-password' } }

async function whoAmI(proxy: Pontoon): Promise<unknown> {
  const client = new Client({ connectionString: proxy.url('postgres', 'app', 'client-password') })
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query('SELECT current_user')).rows[0]?.current_user
  } finally {
    await client.end()
  }
}

/** Clients that come, ask and go without a break. */
class Load {
  done = 0
  readonly failures: string[] = []
  readonly #proxy: Pontoon
  readonly #workers: Promise<void>[]
  #isOver = false

  constructor(proxy: Pontoon) {
    this.#proxy = proxy
    this.#workers = [1, 2, 3, 4].map(() => this.#work())
  }

  async #work(): Promise<void> {
    while (!this.#isOver) {
      try {
        await whoAmI(this.#proxy)
        this.done += 1
      } catch (error) {
        this.failures.push(String(error))
      }
    }
  }

  /** Closes the servers there are, and waits until new ones have served the clients for a while. */
  async onNewServers(): Promise<void> {
    const { service } = this.#proxy
    service.reconnect()
    const goal = { done: this.done + 10, opened: service.stats.serversOpenedTotal + 2 }
    await until(
      () =>
        this.failures.length > 0 ||
        (this.done >= goal.done && service.stats.serversOpenedTotal >= goal.opened),
      `10 turns and 2 servers after ${JSON.stringify(goal)}`,
      20_000,
    )
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#workers)
  }
}

function setPassword(postgres: PostgresServer, password: string): Promise<unknown> {
  return postgres.query(`ALTER ROLE app PASSWORD ${escapeLiteral(password)}`)
}

void t.test('a rotation of Secrets Manager under load: no client sees an error', async (test) => {
  const postgres = await startPostgres({ major: 17 })
  const manager = await new MockSecretsManager().start()
  test.teardown(() => Promise.all([postgres.stop(), manager.stop()]))
  await postgres.createUser({ name: 'app', password: 'password-0' })
  manager.stages.set('AWSCURRENT', JSON.stringify({ username: 'app', password: 'password-0' }))
  const secretsManager = 'arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders-AbCdEf'
  const password = { secretsManager, endpoint: manager.endpoint, key: 'password' }
  const source = {
    host: postgres.host,
    port: postgres.port,
    password,
    tls: { mode: 'disable' },
  }
  const proxy = await startPontoon({
    source: postgres,
    config: { source, clientAuth: { mode: 'scram' }, users },
  })
  test.teardown(() => proxy.stop())
  const load = new Load(proxy)
  await load.onNewServers()
  for (let version = 1; version <= 3; version += 1) {
    // In the order of AWS's rotation function: createSecret, setSecret, testSecret, finishSecret.
    const next = JSON.stringify({ username: 'app', password: `password-${version}` })
    manager.stages.set('AWSPENDING', next)
    await setPassword(postgres, `password-${version}`)
    await load.onNewServers()
    manager.stages.set('AWSCURRENT', next)
    manager.stages.delete('AWSPENDING')
    await load.onNewServers()
  }
  await load.stop()
  test.same(load.failures, [])
  test.ok(load.done >= 70, `${load.done} turns`)
  const pending = manager.requests.filter(({ stage }) => stage === 'AWSPENDING')
  test.ok(pending.length >= 3, 'logged in with what was pending, each time')
  test.ok(manager.requests.length <= 12, `asked ${manager.requests.length} times, not once a login`)
})

void t.test('a file swapped under load, before or after the server', async (test) => {
  const postgres = await startPostgres({ major: 15 })
  test.teardown(() => postgres.stop())
  await postgres.createUser({ name: 'app', password: 'password-0' })
  const folder = test.testdir({ pw: 'password-0\n' })
  const file = join(folder, 'pw')
  const swap = (text: string): void => {
    writeFileSync(join(folder, 'next'), text)
    renameSync(join(folder, 'next'), file)
  }
  const tls = { mode: 'disable' }
  const source = { host: postgres.host, port: postgres.port, password: { file }, tls }
  const proxy = await startPontoon({
    source: postgres,
    config: { source, clientAuth: { mode: 'scram' }, users },
  })
  test.teardown(() => proxy.stop())
  const load = new Load(proxy)
  await load.onNewServers()
  swap('password-1')
  await load.onNewServers()
  await setPassword(postgres, 'password-1')
  await load.onNewServers()
  await load.stop()
  test.same(load.failures, [], 'the file first: its old password still logs in')
  await setPassword(postgres, 'password-2')
  proxy.service.reconnect()
  await test.rejects(whoAmI(proxy), { code: '28P01' }, 'the server first: nobody knows the new one')
  swap('password-2')
  await until(async () => (await whoAmI(proxy).catch(() => '')) === 'app', 'in again')
})

void t.test('a token of RDS logs in over TLS, and its successor too', async (test) => {
  const authority = await createAuthority()
  const own = await authority.server()
  const postgres = await startPostgres({
    major: 17,
    auth: 'password',
    tls: { cert: own.cert, key: own.key, force: true },
  })
  test.teardown(async () => {
    await postgres.stop()
    authority.remove()
  })
  await postgres.createUser({ name: 'app' })
  let nowMs = 0
  let broken = false
  let signed = 0
  const tokens: string[] = []
  const clock: Clock = { nowMs: () => nowMs, wallMs: () => nowMs }
  const secrets = new Secrets({
    clock,
    log: silentLog,
    aws: {
      ...awsCalls,
      signToken: async (request) => {
        if (broken) throw new Error('no credentials')
        const token = `${await awsCalls.signToken(request)}&n=${tokens.length}`
        tokens.push(token)
        // What RDS does by itself: the newest token is a password, the others are none any more.
        await setPassword(postgres, token)
        signed += 1
        return token
      },
    },
  })
  const host = 'orders.abc123.eu-west-1.rds.amazonaws.com'
  const source = {
    host: 'localhost',
    port: postgres.port,
    auth: { mode: 'rds-iam', host },
    tls: { mode: 'verify-full', ca: authority.ca.certPath },
  }
  const config = serviceConfig({
    source: postgres,
    config: { source, clientAuth: { mode: 'scram' }, users },
  })
  const route = {
    epoch: 1,
    phase: 'self-hosted',
    primary: 'source',
    reads: 0,
    mirror: 0,
    dualWrite: 0,
  } as const
  const service = createPostgresService({
    name: 'orders',
    config,
    route,
    clock: systemClock,
    log: silentLog,
    secrets,
  })
  await service.listen()
  const proxy = new Pontoon(service)
  test.teardown(() => proxy.stop())
  test.equal(await whoAmI(proxy), 'app')
  test.equal(tokens.length, 1)
  test.ok((tokens[0] ?? '').length > 1_000, `a token of ${tokens[0]?.length} bytes`)
  test.match(tokens[0], new RegExp(`^${host}:${postgres.port}/\\?.*DBUser=app.*eu-west-1`))
  nowMs = 9 * 60_000
  service.reconnect()
  test.equal(await whoAmI(proxy), 'app')
  test.equal(tokens.length, 1, 'the same token as long as it is young')
  nowMs = 11 * 60_000
  service.reconnect()
  test.equal(await whoAmI(proxy), 'app', 'refused while its successor was made, and tried again')
  await until(() => signed === 2, 'a second token')
  test.equal(tokens.length, 2, 'refreshed ahead of its end')
  nowMs = 60 * 60_000
  broken = true
  service.reconnect()
  await test.rejects(whoAmI(proxy), {
    code: '08001',
    message: /^the login token of app for orders\..*:\d+ cannot be had: Error: no credentials$/,
  })
  broken = false
  nowMs += 60_000
  await until(async () => (await whoAmI(proxy).catch(() => '')) === 'app', 'in again')
  test.equal(tokens.length, 3)
})

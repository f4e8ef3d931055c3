/** Replication connections go through on their own, in either pool mode. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { limitHits } from '../../../src/proxy/limit-hits.ts'
import { postgres15BinFolder } from '../../../scripts/lib/requirements.ts'
import { replicationKind } from '../../../src/proxy/pg/replication.ts'
import { copyData, query, startup, terminate } from '../../support/pg-frontend.ts'
import { connect, errorFields } from '../../support/pg-wire.ts'
import { present, rows, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const server = await startPostgres({ major: 15, auth: 'scram-sha-256' })
await server.query('CREATE TABLE items (id int PRIMARY KEY)')
await server.query("SELECT pg_create_logical_replication_slot('changes', 'test_decoding')")
t.teardown(() => server.stop())

async function pontoonOf(
  test: Test,
  mode: 'session' | 'transaction',
  config: Readonly<Record<string, unknown>> = {},
): Promise<Pontoon> {
  const pontoon = await startPontoon({ source: server, mode, pool: { size: 1 }, config })
  test.teardown(() => pontoon.stop())
  return pontoon
}

interface Tool {
  readonly child: ChildProcess
  output(): string
  /** Exit code or signal. */
  readonly exited: Promise<number | NodeJS.Signals | null>
}

function run(test: Test, pontoon: Pontoon, name: string, ...args: readonly string[]): Tool {
  const all = ['-h', pontoon.host, '-p', `${pontoon.port}`, '-U', 'postgres', '-w', ...args]
  const child = spawn(join(postgres15BinFolder, name), all, { stdio: ['ignore', 'pipe', 'pipe'] })
  test.teardown(() => child.kill('SIGKILL'))
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => (output += String(text)))
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('close', (code, signal) => resolve(code ?? signal)),
  )
  return { child, output: () => output, exited }
}

const pinned = (pontoon: Pontoon): number => pontoon.service.snapshot().pinned['replication'] ?? 0

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode: pg_receivewal streams WAL`, async (test) => {
    const pontoon = await pontoonOf(test, mode)
    const folder = test.testdir({})
    const tool = run(test, pontoon, 'pg_receivewal', '-D', folder, '--no-loop', '--synchronous')
    const [partial] = await untilFound(() =>
      readdirSync(folder).filter((name) => name.endsWith('.partial')),
    )
    test.equal(pinned(pontoon), 1)
    const other = await pontoon.client()
    test.equal(await value(other, 'SELECT 1'), '1', 'it takes no place of the pool')
    await server.query("SELECT pg_logical_emit_message(false, 'mark', 'seen through Pontoon')")
    const file = join(folder, present(partial))
    await until(() => readFileSync(file).includes('seen through Pontoon'), 'the WAL to arrive')
    test.equal(statSync(file).size, 16 * 1024 * 1024)
    tool.child.kill('SIGINT')
    test.equal(await tool.exited, 0, tool.output())
    await until(() => pinned(pontoon) === 0, 'it to leave')
    await until(async () => (await walSenders()) === 0, 'the WAL sender to end')
  })

  void t.test(`${mode} mode: pg_recvlogical streams changes`, async (test) => {
    const limits = { queryTimeoutMs: 50, transactionTimeoutMs: 50, clientIdleMs: 50 }
    const pontoon = await pontoonOf(test, mode, { limits })
    const args = ['-d', 'postgres', '-S', 'changes', '--start', '-f', '-', '--no-loop']
    const tool = run(test, pontoon, 'pg_recvlogical', ...args)
    const id = mode === 'session' ? 1 : 2
    await server.query(`INSERT INTO items VALUES (${id})`)
    const line = `table public.items: INSERT: id[integer]:${id}`
    await until(() => tool.output().includes(line), `the change to arrive, but ${tool.output()}`)
    await server.query('SELECT pg_sleep(0.5)')
    test.equal(pinned(pontoon), 1, 'the limits on queries are not for streams')
    const drain = await pontoon.service.pause(60_000, 0, 'a test')
    test.match(drain, { drained: false, waitingFor: [{ pinReason: 'replication' }] })
    pontoon.service.resume()
    tool.child.kill('SIGINT')
    test.equal(await tool.exited, 0, tool.output())
  })

  void t.test(`${mode} mode: the commands of a WAL sender, and SQL beside them`, async (test) => {
    const pontoon = await pontoonOf(test, mode)
    const logical = await pontoon.client({ parameters: { replication: 'database' } })
    const direct = await server.query<{ id: string }>(
      'SELECT system_identifier::text AS id FROM pg_control_system()',
    )
    const [system] = await rows(logical, 'IDENTIFY_SYSTEM')
    test.equal(system?.[0], direct[0]?.id)
    test.equal(system?.[3], 'postgres')
    test.equal(await value(logical, 'SHOW server_version_num').then(Number), 150_000 + minorOf())
    test.equal(
      await value(logical, 'SELECT count(*) FROM pg_stat_activity WHERE pid = pg_backend_pid()'),
      '1',
    )
    const physical = await pontoon.client({ parameters: { replication: 'true' } })
    test.equal((await rows(physical, 'IDENTIFY_SYSTEM'))[0]?.[3], null, 'of no database')
    await test.rejects(rows(physical, 'SELECT 1'), { message: /^0A000: cannot execute SQL/ })
    test.equal(pinned(pontoon), 2)
    // In the middle of a stream, without a word that it is over.
    await physical.wire.send(query('START_REPLICATION 0/1000000'), terminate())
    await physical.wire.closed()
    await until(() => pinned(pontoon) === 1, 'one to leave')
    logical.wire.destroy()
    await pontoon.untilIdle()
  })
}

/** As the version of the server says, e.g. 15.4 → 4. */
function minorOf(): number {
  const version = /PostgreSQL\D*15\.(\d+)/.exec(server.log())?.[1]
  return Number(version)
}

async function walSenders(): Promise<number> {
  return (await server.query('SELECT FROM pg_stat_replication')).length
}

async function untilFound(find: () => string[]): Promise<string[]> {
  await until(() => find().length > 0, 'a file')
  return find()
}

for (const mode of ['session', 'transaction'] as const) {
  void t.test(`${mode} mode: a goodbye sent along with COPY FROM STDIN`, async (test) => {
    const pontoon = await pontoonOf(test, mode)
    const { wire } = await pontoon.client()
    await wire.send(query('COPY items FROM STDIN'), copyData('900\n'), terminate())
    await wire.closed()
    await pontoon.untilIdle()
    test.strictSame(await server.query('SELECT FROM items WHERE id = 900'), [])
  })
}

void t.test('pg_basebackup takes a backup with its WAL', async (test) => {
  const pontoon = await pontoonOf(test, 'transaction')
  const folder = test.testdir({})
  const args = ['-D', join(folder, 'backup'), '-X', 'stream', '-c', 'fast', '--no-sync']
  const tool = run(test, pontoon, 'pg_basebackup', ...args)
  test.equal(await tool.exited, 0, tool.output())
  test.equal(readFileSync(join(folder, 'backup', 'PG_VERSION'), 'utf8').trim(), '15')
})

async function refusal(pontoon: Pontoon, replication: string): Promise<string> {
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(startup({ user: 'postgres', database: 'postgres', replication }))
  for (;;) {
    const message = await wire.next()
    if (message.type === 'Z') break
    if (message.type !== 'E') continue
    const { C: code, M: words } = errorFields(message)
    return `${code}: ${words}`
  }
  wire.destroy()
  return ''
}

void t.test('replication clients are counted against a limit of their own', async (test) => {
  const limits = { replicationClientsMax: 2 }
  const pontoon = await pontoonOf(test, 'transaction', { limits })
  const [one, two] = [
    await pontoon.client({ parameters: { replication: 'true' } }),
    await pontoon.client({ parameters: { replication: 'database', application_name: 'two' } }),
  ]
  test.match(await refusal(pontoon, 'true'), /^53300: number of requested standby connections/)
  const hits = limitHits(pontoon.service.stats)
  test.equal(hits.get('limits.replicationClientsMax'), 1)
  test.equal(hits.get('limits.clientsMax'), 0, 'which is another limit')
  test.equal(await value(await pontoon.client(), 'SELECT 1'), '1')
  one.wire.destroy()
  await until(() => pinned(pontoon) === 1, 'one to leave')
  test.equal(await refusal(pontoon, 'true'), '')
  two.wire.destroy()
  const none = await pontoonOf(test, 'session', { limits: { replicationClientsMax: 0 } })
  test.match(await refusal(none, 'database'), /^53300/)
})

void t.test('a login that fails gives its place back', async (test) => {
  const limits = { replicationClientsMax: 1 }
  const users = { postgres: {}, plain: { source: { user: 'plain', password: 'plain' } } }
  await server.createUser({ name: 'plain', password: 'plain' })
  const pontoon = await pontoonOf(test, 'transaction', { limits, users })
  const plain = { user: 'plain', database: 'postgres', parameters: { replication: 'true' } }
  for (let count = 0; count < 3; count += 1)
    await test.rejects(pontoon.client(plain), { message: /must be superuser or replication role/ })
  test.ok(await pontoon.client({ parameters: { replication: 'true' } }))
})

void t.test('physical replication is in no database: `databases` may list it', async (test) => {
  const closed = await pontoonOf(test, 'transaction', { databases: ['postgres'] })
  test.match(await refusal(closed, 'true'), /^28000: database "replication" is not listed/)
  test.equal(await refusal(closed, 'database'), '')
  const open = await pontoonOf(test, 'transaction', { databases: ['postgres', 'replication'] })
  test.equal(await refusal(open, 'true'), '')
})

void t.test('the parameter is read as the server reads it', async (test) => {
  const pontoon = await pontoonOf(test, 'transaction')
  for (const text of ['tru', 'YES', 'on', '1', 'f', 'of', 'OFF', 'no', '0', 'database']) {
    const wire = await connect(server.host, server.port)
    await wire.send(startup({ user: 'nobody', database: 'nowhere', replication: text }))
    test.equal((await wire.next()).type, 'R', `the server takes ${text}`)
    wire.destroy()
    test.doesNotThrow(() => replicationKind(new Map([['replication', text]])))
  }
  for (const text of ['', 'o', 'maybe', 'DATABASE', '2', 'truely']) {
    const wire = await connect(server.host, server.port)
    await wire.send(startup({ user: 'postgres', database: 'postgres', replication: text }))
    const { C: code, M: words } = errorFields(await wire.next())
    wire.destroy()
    test.equal(await refusal(pontoon, text), `${code}: ${words}`, `"${text}"`)
  }
})

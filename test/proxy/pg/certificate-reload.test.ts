/** Certificates that are replaced while clients come and go, on either leg. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import type { Test } from 'tap'
import { createAuthority } from '../../support/certificates.ts'
import type { Certificate } from '../../support/certificates.ts'
import { cancelRequest, query, sslRequest } from '../../support/pg-frontend.ts'
import { login } from '../../support/pg-login.ts'
import { connect } from '../../support/pg-wire.ts'
import { sqlstate, startPontoon, until, value } from '../../support/pontoon.ts'
import type { Pontoon, RawClient } from '../../support/pontoon.ts'
import { startPostgres } from '../../support/postgres.ts'

const [old, fresh] = [await createAuthority('old'), await createAuthority('fresh')]
const [oldPair, newPair, ofServer] = await Promise.all([old.server(), fresh.server(), old.server()])
const server = await startPostgres({
  major: 17,
  auth: 'trust',
  tls: { ...ofServer, ca: old.ca.cert, force: true, requireClientCert: true },
})
t.teardown(async () => {
  await server.stop()
  for (const one of [old, fresh]) one.remove()
})
const ofPontoon = await old.client('postgres')

interface Files {
  readonly pontoon: Pontoon
  /** Writes a new text into one of the files. */
  readonly write: (name: keyof typeof names, pem: string) => void
}

const names = { cert: '', key: '', clientCa: '', serverCa: '', ownCert: '', ownKey: '' }

async function start(test: Test, clientCa = false): Promise<Files> {
  const folder = test.testdir({
    cert: oldPair.cert,
    key: oldPair.key,
    clientCa: old.ca.cert,
    serverCa: old.ca.cert,
    ownCert: ofPontoon.cert,
    ownKey: ofPontoon.key,
  })
  const at = (name: keyof typeof names): string => join(folder, name)
  const tls = { mode: 'verify-full', ca: at('serverCa'), cert: at('ownCert'), key: at('ownKey') }
  const source = { host: server.host, port: server.port, tls }
  const clientTls = {
    mode: 'require',
    cert: at('cert'),
    key: at('key'),
    ...(clientCa ? { clientCa: at('clientCa') } : {}),
  }
  const pool = { holdMs: 0, size: 1 }
  const pontoon = await startPontoon({ source: server, pool, config: { source, clientTls } })
  test.teardown(() => pontoon.stop())
  return { pontoon, write: (name, pem) => writeFileSync(at(name), pem) }
}

async function client(pontoon: Pontoon, ca: string, own?: Certificate): Promise<RawClient> {
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(sslRequest())
  if ((await wire.nextByte()) !== 'S') throw new Error('SSLRequest was not accepted')
  const shown = own === undefined ? {} : { cert: own.cert, key: own.key }
  await wire.startTls({ ca, rejectUnauthorized: true, servername: 'localhost', ...shown })
  return { wire, ...(await login(wire, { user: 'postgres', database: 'postgres' })) }
}

const problems = (pontoon: Pontoon): (string | null)[] =>
  (pontoon.service.snapshot().certificates ?? []).map(({ problem }) => problem)

/** Whether a client that trusts this authority is let in. */
async function trusts(pontoon: Pontoon, ca: string, own?: Certificate): Promise<boolean> {
  try {
    const { wire } = await client(pontoon, ca, own)
    wire.destroy()
    return true
  } catch {
    return false
  }
}

void t.test('client leg: a new pair counts for new clients, nobody is disturbed', async (test) => {
  const { pontoon, write } = await start(test)
  const early = await client(pontoon, old.ca.cert)
  write('cert', newPair.cert)
  write('key', newPair.key)
  await until(() => trusts(pontoon, fresh.ca.cert), 'the new pair to be shown')
  test.notOk(await trusts(pontoon, old.ca.cert))
  test.equal(await value(early, 'SELECT 1'), '1')
  test.strictSame(problems(pontoon), [null, null])
})

void t.test('client leg: a broken pair changes nothing, and a reload says so', async (test) => {
  const { pontoon, write } = await start(test)
  write('key', 'no key at all')
  pontoon.service.applyConfig(pontoon.service.config)
  test.match(problems(pontoon), [/^TLS files of the client leg of orders: .*cannot be used/, null])
  test.ok(await trusts(pontoon, old.ca.cert))
  write('cert', newPair.cert)
  write('key', newPair.key)
  pontoon.service.applyConfig(pontoon.service.config)
  test.ok(await trusts(pontoon, fresh.ca.cert), 'at once')
  test.strictSame(problems(pontoon), [null, null])
})

void t.test('client leg: another authority for client certificates', async (test) => {
  const { pontoon, write } = await start(test, true)
  const [before, after] = [await old.client('postgres'), await fresh.client('postgres')]
  test.ok(await trusts(pontoon, old.ca.cert, before))
  test.notOk(await trusts(pontoon, old.ca.cert, after))
  write('clientCa', fresh.ca.cert)
  pontoon.service.applyConfig(pontoon.service.config)
  test.ok(await trusts(pontoon, old.ca.cert, after))
  test.notOk(await trusts(pontoon, old.ca.cert, before))
})

void t.test('server leg: the authority and our own certificate are replaced', async (test) => {
  const { pontoon, write } = await start(test)
  const early = await client(pontoon, old.ca.cert)
  await early.wire.send(query('SELECT pg_sleep(20)'))
  await until(() => pontoon.service.snapshot().clients.active === 1, 'to run')
  const next = await fresh.server()
  for (const [name, text] of Object.entries({
    'server.crt': next.cert,
    'server.key': next.key,
    'client-ca.crt': fresh.ca.cert,
  }))
    writeFileSync(join(server.folder, 'data', name), text)
  process.kill(server.pid ?? 0, 'SIGHUP')
  await until(() => shows(next), 'the server to show its new certificate')
  const own = await fresh.client('postgres')
  write('ownCert', own.cert)
  write('ownKey', own.key)
  write('serverCa', fresh.ca.cert)
  pontoon.service.applyConfig(pontoon.service.config)
  test.strictSame(problems(pontoon), [null, null])
  const wire = await connect(pontoon.host, pontoon.port)
  await wire.send(sslRequest())
  await wire.nextByte()
  await wire.startTls()
  await wire.send(cancelRequest(early.pid, early.secret))
  await wire.closed()
  test.equal(sqlstate(await early.wire.until('Z')), '57014', 'a cancel trusts the new authority')
  pontoon.service.reconnect()
  test.equal(await value(early, 'SELECT 1'), '1', 'and so do new servers')
})

/** Whether the server shows this certificate. */
async function shows(certificate: Certificate): Promise<boolean> {
  const wire = await connect(server.host, server.port)
  await wire.send(sslRequest())
  await wire.nextByte()
  const options = { socket: wire.socket, rejectUnauthorized: false, minVersion: 'TLSv1.2' } as const
  wire.socket.removeAllListeners('data')
  const secure = connectTls(options)
  secure.on('error', () => undefined)
  await new Promise((resolve) => secure.once('secureConnect', resolve).once('close', resolve))
  const found = secure.getPeerX509Certificate()?.toString()
  secure.destroy()
  return found?.trim() === certificate.cert.trim()
}

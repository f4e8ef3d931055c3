/**
 * Logs a raw client in with whatever the server asks for: nothing, a clear password, md5 or
 * SCRAM-SHA-256. Written from the documentation and RFC 5802, apart from the code that it tests.
 * Neighbours: pg-wire.ts, pg-frontend.ts.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'
import { password, saslInitialResponse, saslResponse, startup } from './pg-frontend.ts'
import type { Parameters } from './pg-frontend.ts'
import { errorFields } from './pg-wire.ts'
import type { BackendMessage, PgWire } from './pg-wire.ts'

export interface Login {
  readonly user: string
  readonly password?: string
  readonly database?: string
  /** Further startup parameters. */
  readonly parameters?: Parameters
  /** Version asked for; default 3.0. */
  readonly protocol?: number
}

export interface LoggedIn {
  readonly parameters: Record<string, string>
  readonly pid: number
  readonly secret: Buffer
  readonly method: 'trust' | 'password' | 'md5' | 'scram'
}

/** Throws with the SQLSTATE and text of the server's refusal. */
export async function login(wire: PgWire, options: Login): Promise<LoggedIn> {
  const { user, database } = options
  const named = { user, ...(database === undefined ? {} : { database }), ...options.parameters }
  await wire.send(startup(named, options.protocol))
  const method = await authenticate(wire, user, options.password ?? '')
  const parameters: Record<string, string> = {}
  let pid = 0
  let secret = Buffer.alloc(0)
  for (const message of await untilReady(wire)) {
    if (message.type === 'S') {
      const [name, value] = message.body.toString('utf8').split('\0')
      if (name !== undefined && value !== undefined) parameters[name] = value
    } else if (message.type === 'K') {
      pid = message.body.readInt32BE(0)
      secret = Buffer.from(message.body.subarray(4))
    }
  }
  return { parameters, pid, secret, method }
}

async function untilReady(wire: PgWire): Promise<BackendMessage[]> {
  const messages: BackendMessage[] = []
  for (;;) {
    const message = await next(wire)
    messages.push(message)
    if (message.type === 'Z') return messages
  }
}

async function next(wire: PgWire): Promise<BackendMessage> {
  const message = await wire.next()
  if (message.type !== 'E') return message
  const { C: code, M: words } = errorFields(message)
  throw new Error(`${code}: ${words}`)
}

async function authenticate(
  wire: PgWire,
  user: string,
  secret: string,
): Promise<LoggedIn['method']> {
  let request = await next(wire)
  while (request.type === 'v') request = await next(wire)
  const kind = request.body.readInt32BE(0)
  switch (kind) {
    case 0:
      return 'trust'
    case 3:
      await wire.send(password(secret))
      await expectOk(wire)
      return 'password'
    case 5: {
      const salt = request.body.subarray(4)
      await wire.send(password(`md5${md5(Buffer.concat([Buffer.from(md5(secret + user)), salt]))}`))
      await expectOk(wire)
      return 'md5'
    }
    case 10:
      await scram(wire, secret)
      await expectOk(wire)
      return 'scram'
    default:
      throw new Error(`the server asks for authentication ${kind}`)
  }
}

async function expectOk(wire: PgWire): Promise<void> {
  const answer = await next(wire)
  const code = answer.body.readInt32BE(0)
  if (answer.type !== 'R' || code !== 0) throw new Error(`${answer.type} ${code} instead of ok`)
}

async function scram(wire: PgWire, secret: string): Promise<void> {
  const clientFirst = `n=,r=${randomBytes(18).toString('base64')}`
  await wire.send(saslInitialResponse('SCRAM-SHA-256', `n,,${clientFirst}`))
  const serverFirst = (await next(wire)).body.toString('utf8', 4)
  const { r: nonce, s: salt, i: rounds } = attributes(serverFirst)
  if (nonce === undefined || salt === undefined) throw new Error(`bad challenge ${serverFirst}`)
  const withoutProof = `c=biws,r=${nonce}`
  const signed = `${clientFirst},${serverFirst},${withoutProof}`
  const salted = pbkdf2Sync(secret, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256')
  const clientKey = hmac(salted, 'Client Key')
  const signature = hmac(createHash('sha256').update(clientKey).digest(), signed)
  const proof = clientKey.map((byte, index) => byte ^ (signature[index] ?? 0))
  await wire.send(saslResponse(`${withoutProof},p=${Buffer.from(proof).toString('base64')}`))
  const { v: verdict } = attributes((await next(wire)).body.toString('utf8', 4))
  if (verdict !== hmac(hmac(salted, 'Server Key'), signed).toString('base64')) {
    throw new Error('the server does not know the password either')
  }
}

function attributes(message: string): Record<string, string | undefined> {
  return Object.fromEntries(message.split(',').map((part) => [part.charAt(0), part.slice(2)]))
}

const md5 = (data: string | Buffer): string => createHash('md5').update(data).digest('hex')
const hmac = (key: Buffer, data: string): Buffer => createHmac('sha256', key).update(data).digest()

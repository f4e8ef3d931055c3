/**
 * The login token of ElastiCache: a presigned request to `elasticache:Connect`, made here, sent
 * nowhere but to the cache, as a password. Good for 15 minutes, for the login only; the connection
 * it opens lives 12 hours. The SDK is loaded only when a configuration asks for a token.
 * https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html
 */
import { createHash, createHmac, type Hash, type Hmac } from 'node:crypto'

export interface CacheTokenRequest {
  /** Of the replication group or of the serverless cache, in lower case. */
  readonly cacheName: string
  readonly user: string
  readonly region: string
  readonly isServerless: boolean
}

const tokenSeconds = 900

export async function signCacheToken(request: CacheTokenRequest): Promise<string> {
  const { cacheName, user, region, isServerless } = request
  const [{ SignatureV4 }, { defaultProvider }] = await Promise.all([
    import('@smithy/signature-v4'),
    import('@aws-sdk/credential-provider-node'),
  ])
  const signer = new SignatureV4({
    service: 'elasticache',
    region,
    credentials: defaultProvider(),
    sha256: Sha256,
  })
  const signed = await signer.presign(
    {
      method: 'GET',
      protocol: 'http:',
      hostname: cacheName,
      path: '/',
      headers: { host: cacheName },
      query: {
        Action: 'connect',
        User: user,
        ...(isServerless ? { ResourceType: 'ServerlessCache' } : {}),
      },
    },
    { expiresIn: tokenSeconds },
  )
  const query = Object.entries(signed.query ?? {}).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`,
  )
  return `${cacheName}/?${query.join('&')}`
}

/** `….REGION.cache.amazonaws.com`, where the region is short: `euw1` stands for eu-west-1. */
export function regionOfCacheHost(host: string): string | undefined {
  const short = /\.([a-z]{2})([a-z]+)(\d)\.cache\.amazonaws\.com(?:\.cn)?\.?$/i.exec(host)
  if (short === null) return undefined
  const [, area = '', direction = '', number = ''] = short
  const name = directions[direction]
  const region = areas[area]
  return name === undefined || region === undefined ? undefined : `${region}-${name}-${number}`
}

const areas: Readonly<Record<string, string>> = {
  us: 'us',
  eu: 'eu',
  ap: 'ap',
  ca: 'ca',
  sa: 'sa',
  af: 'af',
  me: 'me',
  il: 'il',
  cn: 'cn',
}

const directions: Readonly<Record<string, string>> = {
  e: 'east',
  w: 'west',
  n: 'north',
  s: 'south',
  c: 'central',
  ne: 'northeast',
  nw: 'northwest',
  se: 'southeast',
  sw: 'southwest',
}

type Bytes = string | ArrayBuffer | ArrayBufferView

/** SHA-256, or its HMAC where a key is given, as the signer wants it. */
class Sha256 {
  readonly #key: Bytes | undefined
  #hash: Hash | Hmac

  constructor(key?: Bytes) {
    this.#key = key
    this.#hash = start(key)
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk)
  }

  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.#hash.digest())
  }

  reset(): void {
    this.#hash = start(this.#key)
  }
}

function start(key: Bytes | undefined): Hash | Hmac {
  if (key === undefined) return createHash('sha256')
  return createHmac('sha256', typeof key === 'string' ? key : bytesOf(key))
}

function bytesOf(value: ArrayBuffer | ArrayBufferView): Uint8Array {
  if (value instanceof ArrayBuffer) return new Uint8Array(value)
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
}

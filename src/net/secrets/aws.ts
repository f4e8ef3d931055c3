/**
 * The calls to AWS, each loaded only when a configuration asks for it: login tokens of RDS and of
 * ElastiCache (signed here, nothing is sent) and a value of Secrets Manager. Credentials and, where nothing
 * else says so, the region come from the surroundings, as the SDK finds them.
 */
import type { SecretsManagerConfig } from '../../config/schema.ts'
import { PontoonError } from '../../shared/errors.ts'
import { signCacheToken, type CacheTokenRequest } from './elasticache-token.ts'

export interface TokenRequest {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly region: string | undefined
}

/** Of Secrets Manager: what counts, or what a rotation under way is about to make count. */
export type SecretStage = 'AWSCURRENT' | 'AWSPENDING'

export interface AwsCalls {
  signToken(request: TokenRequest): Promise<string>
  signCacheToken(request: CacheTokenRequest): Promise<string>
  /** Null when there is no such stage. */
  readSecret(config: SecretsManagerConfig, stage: SecretStage): Promise<string | null>
}

const callTimeoutMs = 5_000

export const awsCalls: AwsCalls = {
  async signToken({ host, port, user, region }) {
    const { Signer } = await import('@aws-sdk/rds-signer')
    const signer = new Signer({
      hostname: host,
      port,
      username: user,
      ...(region === undefined ? {} : { region }),
    })
    // Finding credentials may ask a metadata service.
    return await within(signer.getAuthToken(), callTimeoutMs)
  },
  async signCacheToken(request) {
    return await within(signCacheToken(request), callTimeoutMs)
  },
  async readSecret(config, stage) {
    const { SecretsManagerClient, GetSecretValueCommand } =
      await import('@aws-sdk/client-secrets-manager')
    const region = config.region ?? regionOfArn(config.secretsManager)
    const client = new SecretsManagerClient({
      maxAttempts: 2,
      ...(region === undefined ? {} : { region }),
      ...(config.endpoint === undefined ? {} : { endpoint: config.endpoint }),
    })
    try {
      const command = new GetSecretValueCommand({
        SecretId: config.secretsManager,
        VersionStage: stage,
      })
      const { SecretString: text } = await client.send(command, {
        abortSignal: AbortSignal.timeout(callTimeoutMs),
      })
      return text === undefined ? null : passwordIn(text, config)
    } catch (error) {
      const isMissing = error instanceof Error && error.name === 'ResourceNotFoundException'
      if (isMissing && stage === 'AWSPENDING') return null
      throw error
    } finally {
      client.destroy()
    }
  },
}

/** `arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME`; a plain name says nothing. */
export function regionOfArn(arn: string): string | undefined {
  const [scheme, , , region] = arn.split(':')
  return scheme === 'arn' && region !== '' ? region : undefined
}

/** `NAME.ID.REGION.rds.amazonaws.com`, also of clusters and proxies and in China. */
export function regionOfHost(host: string): string | undefined {
  return /\.([a-z]{2}(?:-[a-z]+)+-\d+)\.rds\.amazonaws\.com(?:\.cn)?\.?$/i.exec(host)?.[1]
}

/** RDS keeps its own secrets as JSON with a `password`; others may be the password itself. */
export function passwordIn(text: string, { secretsManager, key }: SecretsManagerConfig): string {
  const fields = jsonObject(text)
  if (key === undefined && fields === null) return text
  const value = fields?.[key ?? 'password']
  if (typeof value === 'string' && value !== '') return value
  throw new PontoonError(
    'SECRET_UNAVAILABLE',
    `secret ${secretsManager} has no text under ${key ?? 'password'}`,
  )
}

/** What the parser says of bad JSON would show a part of it. */
function jsonObject(text: string): Readonly<Record<string, unknown>> | null {
  if (!text.trimStart().startsWith('{')) return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? { ...value } : null
  } catch {
    return null
  }
}

async function within<Value>(work: Promise<Value>, timeoutMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new PontoonError('SECRET_UNAVAILABLE', `no answer within ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

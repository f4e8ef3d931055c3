/** The Redis part of `pontoon init`: from the application's REDIS_URL to a service of the file. */
import { isLoopbackHost } from '../config/listen-address.ts'
import { redactUrl } from '../config/redact.ts'
import { PontoonError } from '../shared/errors.ts'
import type { EnvironmentVariable } from './init-plan.ts'
import { scalar, yamlKey } from './yaml-text.ts'

export interface RedisInitPlan {
  readonly service: string
  readonly listen: string
  /** Null: AUTH without a name. */
  readonly user: string | null
  readonly hasPassword: boolean
  readonly source: { readonly host: string; readonly port: number; readonly isTls: boolean }
  readonly environment: readonly EnvironmentVariable[]
  /** For the application; the password is shown as `***`. */
  readonly url: string
  readonly notes: readonly string[]
}

const usualPort = 6380

/** `taken`: the name of the service that the file has already. Throws USAGE. */
export function planRedisInit(text: string, taken: string | undefined): RedisInitPlan {
  const url = parse(text)
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  const port = url.port === '' ? 6379 : Number(url.port)
  const isTls = /^(?:rediss|valkeys):$/.test(url.protocol)
  const hasPassword = url.password !== ''
  const user = decodeURIComponent(url.username)
  const listenPort = isLoopbackHost(host) && port === usualPort ? usualPort + 1 : usualPort
  const account = hasPassword ? `${url.username}:***@` : ''
  const scheme = url.protocol.startsWith('valkey') ? 'valkey' : 'redis'
  return {
    service: taken === 'cache' ? 'redis' : 'cache',
    listen: `localhost:${listenPort}`,
    user: user === '' || user === 'default' ? null : user,
    hasPassword,
    source: { host, port, isTls },
    environment: environment(hasPassword),
    url: `${scheme}://${account}localhost:${listenPort}${url.pathname}`,
    notes: notes(hasPassword, isTls),
  }
}

function parse(text: string): URL {
  const shown = redactUrl(text)
  let url: URL
  try {
    // A scheme that the parser knows makes it take hosts as such.
    url = new URL(text)
    decodeURIComponent(url.username + url.password)
  } catch (error) {
    throw new PontoonError('USAGE', `init: ${shown} is no URL that can be read`, { cause: error })
  }
  if (url.hostname === '') throw new PontoonError('USAGE', `init: ${shown} names no host`)
  return url
}

function environment(hasPassword: boolean): readonly EnvironmentVariable[] {
  const client = 'the one in the Redis URL (decoded, where it has %XX)'
  return [
    ...(hasPassword
      ? [
          {
            name: 'REDIS_CLIENT_PASSWORD',
            meaning: `password with which the application logs in to Pontoon: ${client}`,
          },
          {
            name: 'REDIS_SOURCE_PASSWORD',
            meaning: 'password on the source Redis: today the same',
          },
          { name: 'REDIS_TARGET_PASSWORD', meaning: 'password on the managed Redis' },
        ]
      : []),
    { name: 'REDIS_TARGET_HOST', meaning: 'host name of the managed Redis' },
  ]
}

function notes(hasPassword: boolean, isTls: boolean): readonly string[] {
  return [
    ...(hasPassword
      ? []
      : [
          'The Redis URL has no password, so the service trusts whoever connects on loopback. Set ' +
            'clientAuth and users if others use this machine.',
        ]),
    ...(isTls
      ? [
          'The Redis URL asks for TLS, which Pontoon speaks to the source now; between the ' +
            'application and Pontoon it is plain, on loopback.',
        ]
      : []),
  ]
}

export function renderRedisService(plan: RedisInitPlan): string {
  const { user, hasPassword, source } = plan
  const account = (side: string): string => {
    if (!hasPassword) return ''
    const name = user === null ? '' : `      user: ${scalar(user)}\n`
    return `${name}      password: \${REDIS_${side}_PASSWORD}\n`
  }
  return `  ${plan.service}:
    protocol: redis

    # The application's Redis client connects here.
    listen: ${plan.listen}

${clientAuth(user, hasPassword)}
    # Clients share servers where their commands allow it: docs/redis.md.
    pool:
      mode: multiplexed

    # The Redis that the application uses today.
    source:
      host: ${scalar(source.host)}
      port: ${source.port}
${account('SOURCE')}      tls:
        mode: ${source.isTls ? 'verify-full' : 'disable'}

    # The managed one.
    target:
      host: \${REDIS_TARGET_HOST}
      port: \${REDIS_TARGET_PORT:-6379}
${account('TARGET')}      tls:
        mode: verify-full

    route:
      phase: self-hosted
`
}

function clientAuth(user: string | null, hasPassword: boolean): string {
  if (!hasPassword) {
    return `    # Whoever connects on loopback is trusted.
    clientAuth:
      mode: trust
`
  }
  return `    # The application keeps its user and password.
    clientAuth:
      mode: password
    users:
      ${yamlKey(user ?? 'default')}:
        verifier: \${REDIS_CLIENT_PASSWORD}
`
}

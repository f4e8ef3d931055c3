/** Renders the first configuration file. init.test.ts holds that loadConfig takes it. */
import type { InitPlan, InitTls } from './init-plan.ts'
import { renderRedisService, type RedisInitPlan } from './init-redis.ts'
import { scalar, yamlKey } from './yaml-text.ts'

export function renderInitFile(plan: InitPlan | null, redis: RedisInitPlan | null): string {
  const environment = [...(plan?.environment ?? []), ...(redis?.environment ?? [])]
  const services = [
    ...(plan === null ? [] : [renderService(plan)]),
    ...(redis === null ? [] : [renderRedisService(redis)]),
  ]
  return `# Written by pontoon init. Every key with its default: docs/configuration.md.
# \${NAME} is put in from the environment. Set before starting:
${environment.map(({ name, meaning }) => `#   ${name}: ${meaning}`).join('\n')}

# The admin API and status page. On loopback, without tokens, everyone is an operator.
admin:
  listen: 127.0.0.1:7070

# The folder that keeps the routes and the audit log. It must survive a restart.
state:
  file: ./state

services:
${services.join('\n')}`
}

function renderService(plan: InitPlan): string {
  const { service, user, database, source, hasPassword } = plan
  return `  ${service}:
    protocol: postgres

    # The application connects here; localhost means 127.0.0.1 and ::1.
    listen: ${plan.listen}
    databases:
      - ${scalar(database)}

${clientAuth(user, hasPassword)}
    # Servers per side, user and database, shared by all clients.
    pool:
      mode: transaction
      size: 20

    # The database that the application uses today.
    source:
      host: ${scalar(source.host)}
      port: ${source.port}
      database: ${scalar(database)}
      user: ${scalar(user)}
${hasPassword ? '      password: ${SOURCE_PASSWORD}\n' : ''}      tls:
${tls(source.tls)}

    # The managed database. For one that is not on RDS, name the PEM file of its CA instead.
    target:
      host: \${TARGET_HOST}
      port: \${TARGET_PORT:-5432}
      database: ${scalar(database)}
      user: ${scalar(user)}
      password: \${TARGET_PASSWORD}
      tls:
        mode: verify-full
        ca: aws-rds

    # For the migration: roles of Pontoon's own on both sides, which pontoon schema makes. Take the
    # comment signs away, put a copy of the three under source, and set MIGRATION_PASSWORD.
    #  controlUser: { user: pontoon_control, password: '\${MIGRATION_PASSWORD}' }
    #  replicationUser: { user: pontoon_repl, password: '\${MIGRATION_PASSWORD}' }
    #  readUser: { user: pontoon_read, password: '\${MIGRATION_PASSWORD}' }
    # For the way back the source connects to the target: the CA of the target, as a file on the
    # host of the source.
    #  tlsSeenFromOtherSide: { mode: verify-full, ca: /path/on/the/host/of/the/source/ca.pem }

    # Where the service starts; pontoon shift and pontoon phase move it.
    route:
      phase: self-hosted
`
}

function clientAuth(user: string, hasPassword: boolean): string {
  if (!hasPassword) {
    return `    # Whoever connects on loopback as this user is trusted.
    clientAuth:
      mode: trust
    users:
      ${yamlKey(user)}: {}
`
  }
  return `    # The application keeps its user and password.
    clientAuth:
      mode: scram
    users:
      ${yamlKey(user)}:
        verifier: \${CLIENT_PASSWORD}
`
}

function tls(config: InitTls): string {
  const paths = (['ca', 'cert', 'key'] as const).flatMap((key) => {
    const path = config[key]
    return path === undefined ? [] : [`        ${key}: ${scalar(path)}`]
  })
  const { channelBinding, negotiation } = config
  if (negotiation !== undefined) paths.unshift(`        negotiation: ${negotiation}`)
  const binding = channelBinding === undefined ? [] : [`        channelBinding: ${channelBinding}`]
  return [`        mode: ${config.mode}`, ...paths, ...binding].join('\n')
}

/** Renders the first configuration file. init.test.ts holds that loadConfig takes it. */
import type { InitPlan, InitTls } from './init-plan.ts'

export function renderInitFile(plan: InitPlan): string {
  const { service, user, database, source, hasPassword } = plan
  return `# Written by pontoon init. Every key with its default: docs/configuration.md.
# \${NAME} is put in from the environment. Set before starting:
${plan.environment.map(({ name, meaning }) => `#   ${name}: ${meaning}`).join('\n')}

# The admin API and console. On loopback, without tokens, everyone is an operator.
admin:
  listen: 127.0.0.1:7070

# The folder that keeps the routes and the audit log. It must survive a restart.
state:
  file: ./state

services:
  ${service}:
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
      ${mappingKey(user)}: {}
`
  }
  return `    # The application keeps its user and password.
    clientAuth:
      mode: scram
    users:
      ${mappingKey(user)}:
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

/** A value: a `$` is doubled, since it begins a placeholder. */
function scalar(text: string): string {
  return mappingKey(text.split('$').join('$$'))
}

/** Plain where YAML reads it as text for sure. Nothing is put into keys, so a `$` stays as it is. */
function mappingKey(text: string): string {
  const plain = /^[A-Za-z/][\w./-]*$/.test(text)
  const readOtherwise = /^(?:true|false|null|yes|no|on|off|y|n)$/i.test(text)
  return plain && !readOtherwise ? text : JSON.stringify(text)
}

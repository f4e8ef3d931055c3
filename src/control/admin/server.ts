/**
 * The admin listener: one fastify server with the checks every request passes (hooks.ts), a
 * problem document for every error, and one file per group of routes. The probe listener
 * (probe.ts) serves health and metrics only.
 */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import { fastify } from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { AdminConfig } from '../../config/schema.ts'
import { PontoonError, toPontoonError } from '../../shared/errors.ts'
import { systemErrorCode } from '../../shared/system-error.ts'
import { adminLimits } from '../limits.ts'
import { parseHttpListen, urlOf } from './address.ts'
import type { HttpAddress } from './address.ts'
import type { AdminContext } from './context.ts'
import { addErrorHandlers, answerBrokenRequest, answerEarlyError } from './errors.ts'
import { addSecurityHooks } from './hooks.ts'
import { addAuditRoutes } from './routes/audit.ts'
import { addConsoleRoutes } from './routes/console.ts'
import { addEventRoutes } from './routes/events.ts'
import { addGateRoutes } from './routes/gate.ts'
import { addHealthRoutes } from './routes/health.ts'
import { addMetricsRoute } from './routes/metrics.ts'
import { addRouteRoutes } from './routes/route.ts'
import { addServiceRoutes } from './routes/services.ts'
import { addSwitchRoutes } from './routes/switch.ts'

export interface HttpListener {
  /** The URL of what was really bound. */
  readonly url: string
  close(): Promise<void>
}

export async function startAdmin(
  config: AdminConfig,
  context: AdminContext,
): Promise<HttpListener> {
  const address = parseHttpListen(config.listen, 'admin.listen')
  const app = createApp(config.tls)
  addErrorHandlers(app, context)
  addSecurityHooks(app, context, address.host)
  await addDocs(app, context.version)
  addHealthRoutes(app, context)
  addMetricsRoute(app, context)
  addServiceRoutes(app, context)
  addRouteRoutes(app, context)
  addGateRoutes(app, context)
  addSwitchRoutes(app, context)
  addEventRoutes(app, context)
  addAuditRoutes(app, context)
  addConsoleRoutes(app)
  return await open(app, address, config.tls === undefined ? 'http' : 'https')
}

/** Kubelet and Prometheus come from anywhere and change nothing: no tokens, no Host check. */
export async function startProbe(listen: string, context: AdminContext): Promise<HttpListener> {
  const app = createApp(undefined)
  addErrorHandlers(app, context)
  addHealthRoutes(app, context)
  addMetricsRoute(app, context)
  return await open(app, parseHttpListen(listen, 'probe.listen'), 'http')
}

function createApp(tls: AdminConfig['tls']): FastifyInstance {
  const options = {
    bodyLimit: adminLimits.bodyBytesMax,
    requestTimeout: adminLimits.requestTimeoutMs,
    forceCloseConnections: true,
    routerOptions: { caseSensitive: true },
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: answerEarlyError,
    // A wrong type is an error of the caller: null must not become 0 percent.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  }
  const app =
    tls === undefined
      ? fastify(options)
      : // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only the raw server's type differs
        (fastify({ ...options, https: readTls(tls) }) as unknown as FastifyInstance)
  app.server.maxConnections = adminLimits.connectionsMax
  // Schemas of answers are documentation; they must never drop a member from an answer.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  return app
}

function readTls(tls: NonNullable<AdminConfig['tls']>): { cert: Buffer; key: Buffer } {
  try {
    return { cert: readFileSync(tls.cert), key: readFileSync(tls.key) }
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    throw new PontoonError('CONFIG_UNREADABLE', `admin.tls: ${words}`, { cause: error })
  }
}

/** Instead of the logo of the framework. */
const wordmark =
  '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40">' +
  '<text x="0" y="28" font-family="sans-serif" font-size="24" fill="#fff">Pontoon</text></svg>'

async function addDocs(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Pontoon admin API',
        description: 'Errors are RFC 9457 problem documents; their codes are in docs/errors.md.',
        version,
      },
      components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
      security: [{ bearer: [] }],
    },
  })
  app.get('/openapi.json', { config: { access: 'open' }, schema: { hide: true } }, () =>
    app.swagger(),
  )
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // swagger-ui sets styles from its script; nothing may come from elsewhere.
    staticCSP:
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; " +
      "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; " +
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    logo: { type: 'image/svg+xml', content: wordmark, href: '/', target: '_self' },
    uiConfig: { deepLinking: false },
  })
}

async function open(
  app: FastifyInstance,
  address: HttpAddress,
  scheme: 'http' | 'https',
): Promise<HttpListener> {
  try {
    await app.listen({ host: address.host, port: address.port })
  } catch (error) {
    await app.close()
    throw listenError(error, address)
  }
  return { url: urlOf(boundAddress(app), scheme), close: () => app.close() }
}

function boundAddress(app: FastifyInstance): AddressInfo {
  const [first] = app.addresses()
  if (typeof first === 'object') return first
  throw new PontoonError('LISTEN_FAILED', 'the listener has no address')
}

function listenError(error: unknown, { host, port }: HttpAddress): PontoonError {
  const where = `${host}:${port}`
  const { message } = toPontoonError(error)
  return systemErrorCode(error) === 'EADDRINUSE'
    ? new PontoonError('LISTEN_IN_USE', `cannot listen on ${where}: another process holds it`, {
        cause: error,
      })
    : new PontoonError('LISTEN_FAILED', `cannot listen on ${where}: ${message}`, { cause: error })
}

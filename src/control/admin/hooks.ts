/** The checks that every request of the admin listener passes before its route runs. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { AdminContext } from './context.ts'
import { checkOrigin } from './origin.ts'
import type { Access } from './access.ts'

export function addSecurityHooks(
  app: FastifyInstance,
  context: AdminContext,
  listenHost: string,
): void {
  app.decorateRequest('actor', null)
  app.addHook('onRequest', async (request, reply) => {
    setSecurityHeaders(reply)
    const { host, origin, authorization } = request.headers
    const site = request.headers['sec-fetch-site']
    checkOrigin({ host, origin, site: siteOf(site), method: request.method }, listenHost)
    request.actor = context.guard.authorize(accessOf(request), authorization, request.ip)
  })
}

interface AccessRequest {
  readonly is404: boolean
  readonly url: string
  readonly routeOptions: { readonly config: { readonly access?: Access } }
}

/** Pages hold no data of their own; swagger-ui declares its routes without our setting. */
function accessOf(request: AccessRequest): Access {
  const isDocs = request.url === '/docs' || request.url.startsWith('/docs/')
  if (request.is404 || isDocs) return 'open'
  return request.routeOptions.config.access ?? 'operator'
}

function siteOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}

function setSecurityHeaders(reply: FastifyReply): void {
  void reply.headers({
    'X-Content-Type-Options': 'nosniff',
    'X-Frame-Options': 'DENY',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-store',
  })
}

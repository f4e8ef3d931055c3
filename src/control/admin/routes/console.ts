/**
 * GET /: the status page. Three static files, read once; the page asks the API for everything it
 * shows, so it holds no data and needs no token itself.
 */
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

/** Beside this file's folder in src/ as in dist/, where scripts/copy-static.mjs puts it. */
const folder = new URL('../../console/', import.meta.url)

const files = [
  { path: '/', file: 'index.html', type: 'text/html; charset=utf-8' },
  { path: '/console/status.js', file: 'status.js', type: 'text/javascript; charset=utf-8' },
  { path: '/console/status.css', file: 'status.css', type: 'text/css; charset=utf-8' },
] as const

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export function addConsoleRoutes(app: FastifyInstance): void {
  for (const { path, file, type } of files) {
    const content = readFileSync(new URL(file, folder))
    app.get(path, { config: { access: 'open' }, schema: { hide: true } }, async (_, reply) => {
      return await reply
        .header('Content-Security-Policy', contentSecurityPolicy)
        .type(type)
        .send(content)
    })
  }
}

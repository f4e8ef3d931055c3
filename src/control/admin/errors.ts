/** Every error of the HTTP listeners as a problem document, logged when it is our fault. */
import type { Socket } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { PontoonError } from '../../shared/errors.ts'
import { fromThrown, problemContentType, problemOf } from '../problem.ts'
import type { AdminContext } from './context.ts'

export function addErrorHandlers(app: FastifyInstance, context: AdminContext): void {
  app.setErrorHandler(async (thrown, request, reply) => {
    const error = fromThrown(thrown)
    if (error.code === 'INTERNAL') {
      context.log.error({ err: thrown, url: request.url }, 'a request of the admin API failed')
    }
    if (request.routeOptions.config.audited === true) await auditRefusal(error, request, context)
    return await sendProblem(error, request, reply)
  })
  app.setNotFoundHandler(async (request, reply) => {
    const error = new PontoonError('NOT_FOUND', `No ${request.method} ${pathOf(request)} here.`)
    return await sendProblem(error, request, reply)
  })
}

async function sendProblem(
  error: PontoonError,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const problem = problemOf(error, pathOf(request))
  if (error.code === 'UNAUTHENTICATED') void reply.header('WWW-Authenticate', 'Bearer')
  if (error.code === 'RATE_LIMITED') void reply.header('Retry-After', '60')
  return await reply.code(problem.status).type(problemContentType).send(JSON.stringify(problem))
}

async function auditRefusal(
  error: PontoonError,
  request: FastifyRequest,
  { operator, guard }: AdminContext,
): Promise<void> {
  const actor = request.actor ?? guard.identify(request.headers.authorization, request.ip)
  const asked = { method: request.method, path: pathOf(request) }
  await operator.recordRefusal(error, serviceOf(request), asked, actor)
}

function serviceOf({ params }: FastifyRequest): string | null {
  const isNamed = typeof params === 'object' && params !== null && 'service' in params
  return isNamed ? String(params.service) : null
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? ''
}

/** What fastify refuses before any route or hook, e.g. a path that cannot be decoded. */
export function answerEarlyError(
  thrown: Error,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const problem = problemOf(fromThrown(thrown), pathOf(request))
  void reply.code(problem.status).type(problemContentType).send(JSON.stringify(problem))
}

/** What is not even HTTP: answered by hand, because no request exists yet. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const words = brokenWords[error.code ?? ''] ?? 'The request is not valid HTTP.'
  const body = JSON.stringify(problemOf(new PontoonError('BAD_REQUEST', words)))
  const head = [
    'HTTP/1.1 400 Bad Request',
    `Content-Type: ${problemContentType}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  if (socket.writable) socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
}

const brokenWords: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'The request did not arrive whole in time.',
  HPE_HEADER_OVERFLOW: 'The request headers are too large.',
}

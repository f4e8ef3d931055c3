/**
 * GET /v1/events: what happens, as server-sent events. A subscriber that does not read is cut
 * off at a bound; with Last-Event-ID it comes back and gets what it missed, as far as kept.
 */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { PontoonError } from '../../../shared/errors.ts'
import type { ControlEvent } from '../../events.ts'
import { eventLimits } from '../../limits.ts'
import type { AdminContext } from '../context.ts'

export function addEventRoutes(
  app: FastifyInstance,
  { events }: Pick<AdminContext, 'events'>,
): void {
  app.get<{ Headers: { 'last-event-id'?: string } }>(
    '/v1/events',
    {
      config: { access: 'viewer' },
      // A HEAD request would hold a stream that nobody can read.
      exposeHeadRoute: false,
      schema: {
        tags: ['events'],
        summary: 'Server-sent events: route, gate, side, errors, config, services, stopping.',
        produces: ['text/event-stream'],
      },
    },
    async (request, reply) => {
      if (events.listenerCount >= eventLimits.subscribersMax) {
        throw new PontoonError(
          'RATE_LIMITED',
          `There are ${eventLimits.subscribersMax} event subscribers already.`,
        )
      }
      const stream = openStream(reply)
      const lastId = Number(request.headers['last-event-id'] ?? Number.NaN)
      if (Number.isFinite(lastId)) for (const event of events.since(lastId)) write(stream, event)
      const stop = events.listen((event) => write(stream, event))
      const heartbeat = setInterval(() => stream.write(': \n\n'), eventLimits.heartbeatMs)
      stream.on('close', () => {
        stop()
        clearInterval(heartbeat)
      })
      return reply
    },
  )
}

/** Takes the answer out of fastify's hands; the headers of the hooks go along. */
function openStream(reply: FastifyReply): ServerResponse {
  reply.hijack()
  const stream = reply.raw
  stream.writeHead(200, {
    ...headersOf(reply),
    'Content-Type': 'text/event-stream; charset=utf-8',
    'X-Accel-Buffering': 'no',
  })
  // A subscriber that resets its connection is no error of ours; close follows.
  stream.on('error', () => undefined)
  stream.write('retry: 1000\n\n')
  return stream
}

function headersOf(reply: FastifyReply): Record<string, string> {
  const headers = Object.entries(reply.getHeaders())
  return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]))
}

function write(stream: ServerResponse, event: ControlEvent): void {
  if (stream.writableLength > eventLimits.subscriberBytesMax) {
    stream.destroy()
    return
  }
  const id = event.id === 0 ? '' : `id: ${event.id}\n`
  const data = JSON.stringify({ atMs: event.atMs, ...event.data })
  stream.write(`${id}event: ${event.kind}\ndata: ${data}\n\n`)
}

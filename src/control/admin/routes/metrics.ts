/** GET /metrics in the Prometheus text format; on the admin and on the probe listener. */
import type { FastifyInstance } from 'fastify'
import type { AdminContext } from '../context.ts'

export function addMetricsRoute(app: FastifyInstance, { metrics }: AdminContext): void {
  app.get(
    '/metrics',
    {
      config: { access: 'viewer' },
      schema: { tags: ['health'], summary: 'Metrics in the Prometheus text format.' },
    },
    async (_, reply) => {
      const text = await metrics.expose()
      return await reply.type(metrics.contentType).send(text)
    },
  )
}

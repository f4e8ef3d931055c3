/** GET /health/startup, /health/live, /health/ready; on the admin and on the probe listener. */
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { HealthReport } from '../../health.ts'
import type { AdminContext } from '../context.ts'
import { answers } from '../schemas.ts'

export function addHealthRoutes(app: FastifyInstance, { health }: AdminContext): void {
  for (const { name, summary } of probes) {
    app.get(
      `/health/${name}`,
      {
        config: { access: 'open' },
        schema: { tags: ['health'], summary, response: answers.health },
      },
      (_, reply) => answer(reply, health[name]()),
    )
  }
}

const probes = [
  { name: 'startup', summary: '200 once the listeners are up.' },
  { name: 'live', summary: '200 as long as the process answers.' },
  {
    name: 'ready',
    summary: '200 while the sidecar takes clients; a lost database does not change it.',
  },
] as const

function answer(reply: FastifyReply, report: HealthReport): FastifyReply {
  return reply.code(report.ok ? 200 : 503).send(report)
}

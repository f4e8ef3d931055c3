/** POST …/pause, …/resume and …/reconnect of a service. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { GateSnapshot } from '../../../net/gate.ts'
import type { DrainReport } from '../../../proxy/service.ts'
import { gateLimits } from '../../limits.ts'
import type { AdminContext, ServiceParams } from '../context.ts'
import { actorOf } from '../context.ts'
import { answers, emptyBody, pauseBody, serviceParams } from '../schemas.ts'

interface PauseRequest {
  Params: ServiceParams
  Body: { forMs: number; waitMs?: number; terminate?: boolean }
}

export function addGateRoutes(app: FastifyInstance, context: AdminContext): void {
  addPause(app, context)
  addPlain(app, context, 'resume', 'Open the gate; parked sessions go on in order.')
  addPlain(app, context, 'reconnect', 'Close idle servers now, busy ones at their next release.')
}

function addPause(app: FastifyInstance, { operator }: AdminContext): void {
  app.post<PauseRequest>(
    '/v1/services/:service/pause',
    {
      config: { access: 'operator', audited: true },
      preValidation: withoutBodyIsEmpty,
      schema: {
        tags: ['gate'],
        summary: 'Park new transactions, wait for running ones, say what still holds a server.',
        params: serviceParams,
        body: pauseBody,
        response: answers.drain,
      },
    },
    (request): Promise<DrainReport> => {
      const { forMs, terminate } = request.body
      const waitMs = Math.min(request.body.waitMs ?? gateLimits.waitDefaultMs, forMs)
      return operator.pause(request.params.service, forMs, waitMs, actorOf(request), terminate)
    },
  )
}

function addPlain(
  app: FastifyInstance,
  { operator }: AdminContext,
  action: 'resume' | 'reconnect',
  summary: string,
): void {
  app.post<{ Params: ServiceParams }>(
    `/v1/services/:service/${action}`,
    {
      config: { access: 'operator', audited: true },
      preValidation: withoutBodyIsEmpty,
      schema: {
        tags: ['gate'],
        summary,
        params: serviceParams,
        body: emptyBody,
        response: answers.gate,
      },
    },
    async (request): Promise<GateSnapshot> => {
      const { service } = request.params
      await operator[action](service, actorOf(request))
      return operator.service(service).snapshot().gate
    },
  )
}

/** A body is optional here: `curl -X POST` alone means the defaults. */
async function withoutBodyIsEmpty(request: FastifyRequest): Promise<void> {
  request.body ??= {}
}

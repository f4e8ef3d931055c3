/** POST …/cutover and …/rollback of a service, GET and abort of the operation that they begin. */
import type { FastifyInstance } from 'fastify'
import { pinnedPolicies, type PinnedPolicy } from '../../../migration/pg/switch/model.ts'
import { switchKinds, type SwitchKind } from '../../../store/switch-record.ts'
import { switchLimits } from '../../limits.ts'
import type { Operation } from '../../switches.ts'
import type { AdminContext, ServiceParams } from '../context.ts'
import { actorOf } from '../context.ts'
import { answers, emptyBody, serviceParams } from '../schemas.ts'

interface SwitchBody {
  readonly dryRun?: boolean
  readonly deadlineMs?: number
  readonly pinned?: PinnedPolicy
  readonly primaryLost?: boolean
}

const switchBody = {
  type: 'object',
  additionalProperties: false,
  properties: {
    dryRun: {
      type: 'boolean',
      default: false,
      description: 'All but the switch itself; the report has the predicted pause.',
    },
    deadlineMs: {
      type: 'integer',
      minimum: switchLimits.deadlineMinMs,
      maximum: switchLimits.deadlineMaxMs,
      default: switchLimits.deadlineDefaultMs,
      description: 'Everything is put back when it is not committed this long after the gate shut.',
    },
    pinned: {
      type: 'string',
      enum: pinnedPolicies,
      default: 'abort',
      description: 'What happens to sessions that cannot follow; terminate ends them with 57P01.',
    },
    primaryLost: {
      type: 'boolean',
      default: false,
      description:
        'The writes leave a side that is lost: refused while it can be reached. Acknowledged writes may be missing; a dry run tells which.',
    },
  },
} as const

const switchHeaders = {
  type: 'object',
  properties: {
    'idempotency-key': {
      type: 'string',
      minLength: 1,
      maxLength: 200,
      description: 'The same key gives the same operation again instead of a second one.',
    },
  },
} as const

const operationParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', maxLength: 64 } },
} as const

export function addSwitchRoutes(app: FastifyInstance, context: AdminContext): void {
  for (const kind of switchKinds) addStart(app, context, kind)
  app.get<{ Params: { id: string } }>(
    '/v1/operations/:id',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['switch'],
        summary: 'How far a cutover or rollback is, and its report once it has ended.',
        params: operationParams,
        response: answers.operation,
      },
    },
    (request): Operation => context.switches.get(request.params.id),
  )
  app.post<{ Params: { id: string } }>(
    '/v1/operations/:id/abort',
    {
      config: { access: 'operator', audited: true },
      preValidation: async (request) => {
        request.body ??= {}
      },
      schema: {
        tags: ['switch'],
        summary: 'Undo it; without effect once it is committed.',
        params: operationParams,
        body: emptyBody,
        response: answers.operation,
      },
    },
    (request): Operation => context.switches.abort(request.params.id, actorOf(request)),
  )
}

function addStart(app: FastifyInstance, { switches }: AdminContext, kind: SwitchKind): void {
  const summary =
    kind === 'cutover'
      ? 'Move the writes to the target, with the way back armed first.'
      : 'Move the writes back to the source.'
  app.post<{
    Params: ServiceParams
    Body: SwitchBody
    Headers: { 'idempotency-key'?: string }
  }>(
    `/v1/services/:service/${kind}`,
    {
      config: { access: 'operator', audited: true },
      preValidation: async (request) => {
        request.body ??= {}
      },
      schema: {
        tags: ['switch'],
        summary,
        params: serviceParams,
        headers: switchHeaders,
        body: switchBody,
        response: answers.operationStarted,
      },
    },
    (request, reply): Operation => {
      const {
        dryRun = false,
        deadlineMs = switchLimits.deadlineDefaultMs,
        pinned = 'abort',
        primaryLost = false,
      } = request.body
      const key = request.headers['idempotency-key'] ?? null
      const options = { dryRun, deadlineMs, pinned, primaryLost }
      void reply.code(202)
      return switches.start(request.params.service, kind, options, actorOf(request), key)
    },
  )
}

/** GET /v1/services, /v1/services/{service} and its clients. */
import type { FastifyInstance } from 'fastify'
import type { ClientSnapshot, Service } from '../../../proxy/service.ts'
import { adminLimits } from '../../limits.ts'
import { viewService } from '../../service-view.ts'
import type { ServiceView } from '../../service-view.ts'
import type { AdminContext, ServiceParams } from '../context.ts'
import { etagOf } from '../epoch.ts'
import { answers, limitQuery, serviceParams } from '../schemas.ts'

export function addServiceRoutes(app: FastifyInstance, context: AdminContext): void {
  app.get(
    '/v1/services',
    {
      config: { access: 'viewer' },
      schema: { tags: ['services'], summary: 'Every service.', response: answers.services },
    },
    async (): Promise<{ services: readonly ServiceView[] }> => {
      return {
        services: [...context.services.values()].map((one) => view(one, context)),
      }
    },
  )
  app.get<{ Params: ServiceParams }>(
    '/v1/services/:service',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['services'],
        summary: 'One service: route, gate, pools, clients, sides. ETag is the epoch.',
        params: serviceParams,
        response: answers.service,
      },
    },
    async (request, reply): Promise<ServiceView> => {
      const service = context.operator.service(request.params.service)
      void reply.header('ETag', etagOf(service.route))
      return view(service, context)
    },
  )
  addClientsRoute(app, context)
}

function view(service: Service, { sides, switches, sync }: AdminContext): ServiceView {
  const { name } = service
  return viewService(service, sides, switches.runningOf(name) ?? null, sync.view(name))
}

function addClientsRoute(app: FastifyInstance, { operator }: AdminContext): void {
  app.get<{ Params: ServiceParams; Querystring: { limit?: string } }>(
    '/v1/services/:service/clients',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['services'],
        summary: 'Every client with what it does now.',
        params: serviceParams,
        querystring: limitQuery,
        response: answers.clients,
      },
    },
    (request): { clients: readonly ClientSnapshot[] } => {
      const asked = Number(request.query.limit ?? adminLimits.clientsListedDefault)
      const limit = Math.min(asked, adminLimits.clientsListedMax)
      return { clients: operator.service(request.params.service).clients(limit) }
    },
  )
}

/** PATCH /v1/services/{service}/route: the one way a route changes over HTTP. */
import type { FastifyInstance } from 'fastify'
import type { RoutePatch } from '../../../routing/route.ts'
import type { RouteAnswer } from '../../operator.ts'
import { staleReads } from '../../stale-reads.ts'
import type { AdminContext, ServiceParams } from '../context.ts'
import { actorOf } from '../context.ts'
import { epochOfIfMatch, etagOf } from '../epoch.ts'
import { answers, routeHeaders, routePatch, routeQuery, serviceParams } from '../schemas.ts'

interface RouteRequest {
  Params: ServiceParams
  Body: RoutePatch
  Querystring: { dryRun?: 'true' | 'false' }
  Headers: { 'if-match'?: string }
}

export function addRouteRoutes(app: FastifyInstance, { operator, sync }: AdminContext): void {
  app.patch<RouteRequest>(
    '/v1/services/:service/route',
    {
      config: { access: 'operator', audited: true },
      schema: {
        tags: ['route'],
        summary: 'Change the route; effective for the next transaction of every session.',
        description:
          'If-Match carries the epoch: 428 without, 412 when the route has moved on. ' +
          'The primary never moves here: that takes a cutover or rollback.',
        params: serviceParams,
        headers: routeHeaders,
        querystring: routeQuery,
        body: routePatch,
        response: answers.routeChange,
      },
    },
    async (request, reply): Promise<RouteAnswer> => {
      const { service } = request.params
      operator.service(service)
      const asked = {
        patch: request.body,
        epoch: epochOfIfMatch(request.headers['if-match']),
        dryRun: request.query.dryRun === 'true',
      }
      const change = await operator.changeRoute(service, asked, actorOf(request))
      void reply.header('ETag', etagOf(change.applied ? change.after : change.before))
      return { ...change, warning: staleReads(service, change.after, sync.stateOf(service)) }
    },
  )
}

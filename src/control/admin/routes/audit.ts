/** GET /v1/audit: the newest entries of the audit log. */
import type { FastifyInstance } from 'fastify'
import { adminLimits } from '../../limits.ts'
import type { AuditEntry, AuditLog } from '../../../store/audit-log.ts'
import type { AdminContext } from '../context.ts'
import { answers, lastQuery } from '../schemas.ts'

export function addAuditRoutes(app: FastifyInstance, { audit }: AdminContext): void {
  app.get<{ Querystring: { last?: string } }>(
    '/v1/audit',
    {
      config: { access: 'viewer' },
      schema: {
        tags: ['audit'],
        summary: 'The newest entries of the audit log, oldest first.',
        querystring: lastQuery,
        response: answers.audit,
      },
    },
    (request) => lastEntries(audit, request.query.last),
  )
}

async function lastEntries(
  audit: AuditLog,
  last: string | undefined,
): Promise<{ entries: readonly AuditEntry[] }> {
  const asked = Number(last ?? adminLimits.auditEntriesDefault)
  return { entries: await audit.readLast(Math.min(asked, adminLimits.auditEntriesMax)) }
}

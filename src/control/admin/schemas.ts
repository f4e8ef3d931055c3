/** JSON Schemas of requests and answers: requests are held to them, answers documented by them. */
import { phaseNames } from '../../routing/route.ts'
import { switchKinds } from '../../store/switch-record.ts'
import { adminLimits, gateLimits } from '../limits.ts'

const percent = { type: 'number', minimum: 0, maximum: 100 } as const
const count = { type: 'integer', minimum: 0 } as const
const text = { type: 'string' } as const
const side = { type: 'string', enum: ['source', 'target'] } as const

export const serviceParams = {
  type: 'object',
  required: ['service'],
  properties: { service: { type: 'string', maxLength: 63, description: 'Name of the service.' } },
} as const

export const routePatch = {
  type: 'object',
  additionalProperties: false,
  minProperties: 1,
  properties: {
    phase: { type: 'string', enum: phaseNames, description: 'Sets the values of its profile.' },
    reads: {
      ...percent,
      description: 'Percent of sessions whose eligible reads go to the target.',
    },
    mirror: percent,
    dualWrite: percent,
  },
  examples: [{ reads: 10 }, { phase: 'canary' }],
} as const

export const routeHeaders = {
  type: 'object',
  properties: {
    'if-match': {
      type: 'string',
      description: 'The epoch that the change is based on, as the ETag of a GET: "7".',
    },
  },
} as const

export const routeQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    dryRun: { type: 'string', enum: ['true', 'false'], description: 'Decide, change nothing.' },
  },
} as const

export const pauseBody = {
  type: 'object',
  additionalProperties: false,
  properties: {
    forMs: {
      type: 'integer',
      minimum: 1,
      maximum: gateLimits.pauseMaxMs,
      default: gateLimits.pauseDefaultMs,
      description: 'The gate opens by itself after this long.',
    },
    waitMs: {
      type: 'integer',
      minimum: 0,
      maximum: gateLimits.pauseMaxMs,
      description: `How long to wait for running transactions; default ${gateLimits.waitDefaultMs}, at most forMs.`,
    },
    terminate: {
      type: 'boolean',
      default: false,
      description: 'End the sessions that still hold a server after that (SQLSTATE 57P01).',
    },
  },
} as const

export const emptyBody = {
  type: ['object', 'null'],
  additionalProperties: false,
  properties: {},
} as const

export const limitQuery = listQuery('limit', adminLimits.clientsListedMax)
export const lastQuery = listQuery('last', adminLimits.auditEntriesMax)

/** A string, because query values are: nothing is coerced anywhere (server.ts). */
function listQuery(name: string, max: number): object {
  return {
    type: 'object',
    additionalProperties: false,
    properties: {
      [name]: { type: 'string', pattern: '^[1-9][0-9]{0,3}$', description: `At most ${max}.` },
    },
  }
}

const route = {
  type: 'object',
  properties: {
    epoch: count,
    phase: { type: 'string', enum: phaseNames },
    primary: side,
    reads: percent,
    mirror: percent,
    dualWrite: percent,
  },
} as const

const client = {
  type: 'object',
  properties: {
    id: count,
    user: text,
    database: text,
    applicationName: text,
    address: text,
    state: text,
    side: { type: ['string', 'null'] },
    serverPid: { type: ['integer', 'null'] },
    pinReason: text,
    stateAgeMs: { type: 'number' },
    work: { ...text, description: 'What keeps its server at work; empty at rest.' },
    workAgeMs: { type: 'number' },
  },
} as const

const service = {
  type: 'object',
  properties: {
    name: text,
    protocol: text,
    listening: { type: 'array', items: text },
    route,
    gate: { type: 'object', additionalProperties: true },
    clients: { type: 'object', additionalProperties: count },
    pools: { type: 'array', items: { type: 'object', additionalProperties: true } },
    pinned: { type: 'object', additionalProperties: count },
    commands: { type: 'object', additionalProperties: true },
    certificates: { type: 'array', items: { type: 'object', additionalProperties: true } },
    sides: { type: 'object', additionalProperties: true },
    sync: { type: 'object', additionalProperties: true },
    totals: { type: 'object', additionalProperties: true },
  },
} as const

const problem = {
  type: 'object',
  description: 'RFC 9457 problem document',
  properties: {
    type: text,
    title: text,
    status: count,
    detail: text,
    code: { type: 'string', description: 'docs/errors.md' },
    retrySafe: { type: 'boolean', description: 'Whether it may be sent again as it is.' },
    instance: text,
  },
} as const

const operation = {
  type: 'object',
  properties: {
    id: text,
    service: text,
    kind: { type: 'string', enum: switchKinds },
    state: { type: 'string', enum: ['running', 'done', 'aborted', 'refused', 'failed'] },
    step: { type: ['string', 'null'], description: 'The step that runs.' },
    stepText: text,
    steps: { type: 'array', items: { type: 'object', additionalProperties: true } },
    report: { type: ['object', 'null'], additionalProperties: true },
    startedAtMs: { type: 'number' },
  },
} as const

export const answers = {
  operation: { 200: operation, '4xx': problem },
  operationStarted: { 202: operation, '4xx': problem },
  service: { 200: service, '4xx': problem },
  services: {
    200: { type: 'object', properties: { services: { type: 'array', items: service } } },
    '4xx': problem,
  },
  clients: {
    200: { type: 'object', properties: { clients: { type: 'array', items: client } } },
    '4xx': problem,
  },
  routeChange: {
    200: {
      type: 'object',
      properties: {
        before: route,
        after: route,
        applied: { type: 'boolean' },
        warning: { type: ['string', 'null'], description: 'What speaks against the new route.' },
      },
    },
    '4xx': problem,
  },
  drain: {
    200: {
      type: 'object',
      properties: {
        drained: { type: 'boolean' },
        waitingFor: { type: 'array', items: client },
        ended: { ...count, description: 'Sessions ended by `terminate`.' },
      },
    },
    '4xx': problem,
  },
  gate: { 200: service.properties.gate, '4xx': problem },
  audit: {
    200: {
      type: 'object',
      properties: {
        entries: { type: 'array', items: { type: 'object', additionalProperties: true } },
      },
    },
    '4xx': problem,
  },
  health: {
    200: { type: 'object', additionalProperties: true },
    503: { type: 'object', additionalProperties: true },
  },
} as const

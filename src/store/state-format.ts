/**
 * The content of state.json: parsing, checking and migrating forward. A file of an older version
 * is migrated step by step; one of a newer version is refused, because writing it back would lose
 * what this version does not know. A damaged file is never reset: it may say which side takes the
 * writes. file-store.ts does the reading and writing.
 */
import { z } from 'zod'
import { phaseNames } from '../config/phase-names.ts'
import type { Route } from '../routing/route.ts'
import { PontoonError } from '../shared/errors.ts'
import { switchSchema, type SwitchRecord } from './switch-record.ts'

export const stateVersion = 3

const percent = z.number().min(0).max(100)

const routeSchema = z.strictObject({
  epoch: z.number().int().min(1),
  phase: z.enum(phaseNames),
  primary: z.enum(['source', 'target']),
  reads: percent,
  mirror: percent,
  dualWrite: percent,
})

const stateSchema = z.strictObject({
  version: z.literal(stateVersion),
  services: z.record(z.string().min(1), routeSchema),
  /** Switches under way, by service. */
  switches: z.record(z.string().min(1), switchSchema),
})

export interface State {
  readonly routes: ReadonlyMap<string, Route>
  readonly switches: ReadonlyMap<string, SwitchRecord>
}

export const emptyState: State = { routes: new Map(), switches: new Map() }

type Document = Record<string, unknown>

/**
 * What turns a file of version N into one of version N + 1. Version 0, of pre-releases, had the
 * routes by service at `routes`, without `mirror` and `dualWrite`; version 1 knew no switches,
 * version 2 no forced ones.
 */
const migrations: readonly ((document: Document) => Document)[] = [
  ({ routes }) => ({ version: 1, services: isDocument(routes) ? withLevers(routes) : routes }),
  (document) => ({ ...document, version: 2, switches: {} }),
  ({ switches, ...document }) => ({ ...document, version: 3, switches: unforced(switches) }),
]

/** What is no route is passed on as it is, for the schema to refuse. */
function withLevers(routes: Document): Document {
  return Object.fromEntries(
    Object.entries(routes).map(([name, route]) => [
      name,
      isDocument(route) ? { mirror: 0, dualWrite: 0, ...route } : route,
    ]),
  )
}

/** What is no record is passed on, as above. */
function unforced(switches: unknown): unknown {
  if (!isDocument(switches)) return switches
  return Object.fromEntries(
    Object.entries(switches).map(([name, record]) => [
      name,
      isDocument(record) ? { primaryLost: false, over: null, ...record } : record,
    ]),
  )
}

/** Throws STATE_UNREADABLE or STATE_TOO_NEW; `path` is for the message. */
export function parseState(text: string, path: string): State {
  const document = parseJson(text, path)
  const version = document['version']
  if (typeof version !== 'number' || !Number.isInteger(version) || version < 0) {
    throw damaged(path, 'it has no version')
  }
  if (version > stateVersion) {
    throw new PontoonError(
      'STATE_TOO_NEW',
      `${path} has version ${version}, this Pontoon knows up to ${stateVersion}: ` +
        'start the newer Pontoon that wrote it, or give this one another state folder',
    )
  }
  const current = migrations.slice(version).reduce((older, migrate) => migrate(older), document)
  const parsed = stateSchema.safeParse(current)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw damaged(path, `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unknown problem'}`)
  }
  return { routes: frozen(parsed.data.services), switches: frozen(parsed.data.switches) }
}

function frozen<Value extends object>(values: Record<string, Value>): ReadonlyMap<string, Value> {
  return new Map(Object.entries(values).map(([name, value]) => [name, Object.freeze(value)]))
}

export function formatState({ routes, switches }: State): string {
  const state = {
    version: stateVersion,
    services: Object.fromEntries(routes),
    switches: Object.fromEntries(switches),
  }
  return `${JSON.stringify(state, null, 2)}\n`
}

function parseJson(text: string, path: string): Document {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw damaged(path, error instanceof Error ? error.message : String(error), error)
  }
  if (!isDocument(value)) throw damaged(path, 'it is no JSON object')
  return value
}

function isDocument(value: unknown): value is Document {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function damaged(path: string, why: string, cause?: unknown): PontoonError {
  return new PontoonError(
    'STATE_UNREADABLE',
    `${path} is damaged (${why}). It says which side takes the writes, so Pontoon does not ` +
      'start without it: restore it from a backup; or, only if no service was ever cut over, ' +
      'move it away and every service starts as the configuration says',
    cause === undefined ? undefined : { cause },
  )
}

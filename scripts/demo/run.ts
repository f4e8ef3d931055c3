/**
 * The demo: a shop that only knows localhost, two databases behind it, and an operator who moves
 * it from one to the other, back, and over again, with the commands of a real migration, while it
 * works. Everything it starts is stopped when it ends, however it ends. Importable:
 * scripts/demo.ts is only its command line.
 */
import { join } from 'node:path'
import { ensureTools } from '../lib/requirements.ts'
import { Application } from './application.ts'
import { audit } from './audit.ts'
import { startDatabases } from './databases.ts'
import type { Databases } from './databases.ts'
import { readEvidence } from './evidence.ts'
import { move } from './move.ts'
import type { DemoOptions } from './options.ts'
import { untilTrue } from './poll.ts'
import { preferPort } from './ports.ts'
import { shiftReads } from './reads.ts'
import { databaseName } from './schema.ts'
import { Sidecar } from './sidecar.ts'
import { heading, indent } from './stage.ts'
import type { Stage } from './stage.ts'
import { changeSides } from './switches.ts'
import { closingTables, summary } from './tables.ts'
import { findFaults } from './verdict.ts'
import type { Outcome } from './verdict.ts'
import type { View } from './view.ts'

/** Returns what was not as it should be; nothing means success. */
export async function runDemo(
  options: DemoOptions,
  view: View,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const beganMs = performance.now()
  // Stopped in reverse order: the application first, the databases last.
  const started: { stop(): Promise<unknown> }[] = []
  try {
    await ensureTools(['postgres', 'psql'])
    const stage = await setUp(options, view, signal, started)
    await audit(stage)
    await move(stage)
    const stretches = [...(await shiftReads(stage))]
    const changed = await changeSides(stage)
    stretches.push(...changed.stretches)
    const outcome = await conclude(stage, { stretches, switches: changed.switches })
    const faults = findFaults(outcome)
    tell(stage, outcome, faults, performance.now() - beganMs)
    if (options.keep) await keep(stage)
    return faults
  } finally {
    for (const part of started.toReversed()) await part.stop()
  }
}

async function setUp(
  options: DemoOptions,
  view: View,
  signal: AbortSignal,
  started: { stop(): Promise<unknown> }[],
): Promise<Stage> {
  heading(view, 'before', 'a shop works on its own PostgreSQL, through Pontoon on localhost')
  const databases = await startDatabases(options.ordersCount, signal)
  started.push(databases)
  const sidecar = await startSidecar(databases, options, view, signal, started)
  const application = await Application.start(sidecar.url)
  started.push(application)
  view.say(`  the shop runs with DATABASE_URL=${hidePassword(sidecar.url)}, 30 connections`)
  const stage = { databases, sidecar, application, options, view, signal }
  const busy = async () => application.acknowledged() > 0 || application.tally().errors > 0
  await untilTrue('the first order', busy, 20_000, signal)
  return stage
}

async function startSidecar(
  databases: Databases,
  options: DemoOptions,
  view: View,
  signal: AbortSignal,
  started: { stop(): Promise<unknown> }[],
): Promise<Sidecar> {
  const service = await preferPort(options.port)
  const admin = await preferPort(options.adminPort)
  if (options.port !== 0 && service !== options.port) {
    view.say(`  port ${options.port} is taken, using ${service}`)
  }
  const sidecar = new Sidecar(databases, { service, admin })
  started.push(sidecar)
  await sidecar.start(signal)
  view.say(
    `  pontoon serve: localhost:${service}, status page and admin API on ${sidecar.adminUrl}`,
  )
  return sidecar
}

/** The shop closes, and both databases are looked into. */
async function conclude(
  stage: Stage,
  found: Pick<Outcome, 'stretches' | 'switches'>,
): Promise<Outcome> {
  const { application, databases, sidecar, signal, view } = stage
  const final = await application.stop()
  heading(view, 'after', 'the shop is closed; are both sides equal, and is everything there?')
  view.say('$ pontoon verify orders')
  const { code, stdout, stderr } = await sidecar.command(['verify', 'orders'], signal)
  view.say(indent(`${stdout}${code === 0 ? '' : stderr}`))
  return {
    ...found,
    requests: final.requests,
    errors: final.errors,
    messages: final.messages,
    evidence: {
      source: await readEvidence(databases.source, final.records),
      target: await readEvidence(databases.target, final.records),
    },
    isEqual: code === 0,
  }
}

function tell(
  { sidecar, view }: Stage,
  outcome: Outcome,
  faults: readonly string[],
  tookMs: number,
): void {
  view.say(`\n${closingTables(outcome)}\n\n${summary(outcome)}`)
  for (const fault of faults) view.say(`not as expected: ${fault}`)
  if (faults.length > 0) view.say(`the sidecar's log:\n${sidecar.log()}`)
  else view.say('no error, nothing lost, nothing twice; the shop was never told.')
  view.say(`(${Math.round(tookMs / 1_000)} s)`)
}

/** Opens the shop again, and waits for Ctrl-C. */
async function keep({ sidecar, databases, view, signal }: Stage): Promise<void> {
  const application = await Application.start(sidecar.url)
  try {
    const program = join(import.meta.dirname, '..', '..', 'dist', 'main.js')
    view.say('\neverything stays up until Ctrl-C. Try:')
    view.say(`  cd ${sidecar.folder} && . ./${sidecar.writeEnvironment()}`)
    view.say(`  node ${program} status orders`)
    view.say(`  node ${program} rollback orders`)
    view.say(`  psql ${sidecar.url}`)
    view.say(`  status page ${sidecar.adminUrl} (token ${sidecar.token})`)
    view.say(`  source ${databases.source.url(databaseName)}`)
    view.say(`  target ${databases.target.url(databaseName)}?sslmode=require`)
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
  } finally {
    await application.stop()
  }
}

function hidePassword(url: string): string {
  return url.replace(/:[^:@/]+@/, ':…@')
}

/**
 * The demo: an application that only knows localhost, two databases behind it, and an operator who
 * shifts its reads from one to the other and back while it works. Everything it starts is stopped
 * when it ends, however it ends. Importable: scripts/demo.ts is only its command line.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { ensureTools } from '../lib/requirements.ts'
import { Application } from './application.ts'
import { startDatabases, untilCaughtUp } from './databases.ts'
import type { Databases } from './databases.ts'
import type { DemoOptions } from './options.ts'
import { untilTrue } from './poll.ts'
import { preferPort } from './ports.ts'
import { Probe } from './probe.ts'
import { applicationRole, databaseName, probeRole, seedOrdersCount } from './schema.ts'
import { Sidecar } from './sidecar.ts'
import { countStatements, subtract, targetPercent } from './statement-counts.ts'
import { closingTables } from './tables.ts'
import { findFaults } from './verdict.ts'
import type { OrderCounts, StepResult } from './verdict.ts'
import type { View } from './view.ts'

export const readsOfSteps: readonly number[] = [0, 50, 100, 0]

export interface DemoResult {
  readonly steps: readonly StepResult[]
  readonly orders: OrderCounts
  /** What was not as it should be; nothing means success. */
  readonly faults: readonly string[]
}

interface Stage {
  readonly databases: Databases
  readonly sidecar: Sidecar
  readonly application: Application
  readonly probe: Probe
  readonly view: View
  readonly signal: AbortSignal
}

const momentMs = 500
/**
 * Counting starts this long after a shift: until readAfterWriteMs (1,000) have passed, a session
 * whose last transaction was not looked at, because its reads stayed anyway, counts as a writer.
 */
const settleMs = 1_200
const metricsDeadlineMs = 5_000

export async function runDemo(
  options: DemoOptions,
  view: View,
  signal: AbortSignal,
): Promise<DemoResult> {
  // Stopped in reverse order: the application first, the databases last.
  const started: { stop(): Promise<unknown> }[] = []
  try {
    await ensureTools(['postgres'])
    view.say('starting a source (PostgreSQL 15) and a target (PostgreSQL 18, TLS only)')
    const databases = await startDatabases(signal)
    started.push(databases)
    view.say(`  source ${databases.source.host}:${databases.source.port}`)
    view.say(`  target localhost:${databases.target.port}, in step by logical replication`)

    const sidecar = await startSidecar(databases, options, view, signal, started)
    const url = sidecar.url(applicationRole, databases.passwords.application)
    const application = await Application.start(url)
    started.push(application)
    view.say(`  application started with DATABASE_URL=${hidePassword(url)}`)
    const probe = await Probe.start(databases, sidecar.url(probeRole, databases.passwords.probe))
    started.push(probe)

    const stage = { databases, sidecar, application, probe, view, signal }
    await untilBusy(stage)
    const steps: StepResult[] = []
    for (const reads of readsOfSteps) {
      steps.push(await runStep(stage, reads, options.stepSeconds))
    }
    return await conclude(stage, steps, options, url)
  } finally {
    for (const part of started.toReversed()) await part.stop()
  }
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
  await sidecar.start(databases, signal)
  view.say(`  sidecar on localhost:${service}, admin API on ${sidecar.adminUrl}`)
  return sidecar
}

async function untilBusy({ application, signal }: Stage): Promise<void> {
  const busy = async () => application.tally().ordersPlaced > 0 || application.tally().errors > 0
  await untilTrue('the first order', busy, 20_000, signal)
}

async function runStep(stage: Stage, reads: number, seconds: number): Promise<StepResult> {
  const { application, databases, probe, sidecar, signal, view } = stage
  view.say(`$ pontoon shift orders --reads ${reads}`)
  await sidecar.shift(reads, signal)
  const shiftedAtMs = performance.now()
  const inMetrics = async () => (await sidecar.readsInMetrics()) === reads
  await untilTrue('the metrics to show the shift', inMetrics, metricsDeadlineMs, signal)
  const shownInMetricsMs = performance.now() - shiftedAtMs
  await delay(settleMs, undefined, { signal })

  probe.reset()
  const countsBefore = await countStatements(databases)
  const before = application.tally()
  const startsAtMs = performance.now()
  const endsAtMs = startsAtMs + seconds * 1_000
  while (performance.now() < endsAtMs) {
    const waitMs = Math.min(momentMs, Math.max(1, endsAtMs - performance.now()))
    await delay(waitMs, undefined, { signal })
    const now = application.tally()
    const counts = subtract(await countStatements(databases), countsBefore)
    view.show({
      reads,
      secondsLeft: Math.max(0, (endsAtMs - performance.now()) / 1_000),
      requestsPerSecond:
        ((now.requests - before.requests) * 1_000) / (performance.now() - startsAtMs),
      requests: now.requests,
      errors: now.errors,
      p50Ms: now.p50Ms,
      p99Ms: now.p99Ms,
      targetPercent: targetPercent(counts.report),
    })
  }
  const after = application.tally()
  return {
    reads,
    requests: after.requests - before.requests,
    errors: after.errors - before.errors,
    counts: subtract(await countStatements(databases), countsBefore),
    shownInMetricsMs,
    latency: {
      source: probe.latency('source'),
      target: probe.latency('target'),
      sidecar: probe.latency('sidecar'),
    },
  }
}

async function conclude(
  stage: Stage,
  steps: readonly StepResult[],
  options: DemoOptions,
  url: string,
): Promise<DemoResult> {
  const { application, databases, probe, signal, view } = stage
  const probeErrors = probe.errors
  await probe.stop()
  const final = await application.stop()
  await untilCaughtUp(databases, signal)
  const orders = {
    acknowledged: final.ordersPlaced,
    onSource: await countOrders(databases.source),
    onTarget: await countOrders(databases.target),
  }
  const faults = [...findFaults(steps, orders), ...final.messages]
  if (final.errors > 0) faults.push(`the application saw ${final.errors} errors`)
  if (probeErrors > 0) faults.push(`the latency probe saw ${probeErrors} errors`)
  view.say(`\n${closingTables(steps, orders)}\n`)
  for (const fault of faults) view.say(`not as expected: ${fault}`)
  if (faults.length > 0) view.say(`the sidecar's log:\n${stage.sidecar.log()}`)
  else view.say(`${final.requests} requests, no error; the application was never told.`)
  if (options.keep) await keep(stage, url)
  return { steps, orders, faults }
}

async function countOrders(server: Databases['source']): Promise<number> {
  const rows = await server.query<{ count: string }>('SELECT count(*) FROM orders', databaseName)
  return Number(rows[0]?.count) - seedOrdersCount
}

/** Runs the application on, and waits for Ctrl-C. */
async function keep({ sidecar, databases, view, signal }: Stage, url: string): Promise<void> {
  const application = await Application.start(url)
  try {
    view.say('\neverything stays up until Ctrl-C. Try:')
    view.say(`  psql ${url}`)
    view.say(`  export PONTOON_TOKEN=${sidecar.token}`)
    view.say(`  node dist/main.js status --admin ${sidecar.adminUrl}`)
    view.say(`  node dist/main.js shift orders --reads 25 --admin ${sidecar.adminUrl}`)
    view.say(`  ${sidecar.adminUrl}/docs  ${sidecar.adminUrl}/metrics`)
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

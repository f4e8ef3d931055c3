/**
 * Alerts and dashboard: valid, about metrics and labels that exist, each alert seen to fire and to
 * stay quiet, each with its section in the runbooks. alert-fires.test.ts runs one for real.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Registry, collectDefaultMetrics } from 'prom-client'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { ensureTools } from '../../scripts/lib/requirements.ts'
import { metricFamilies } from '../../src/control/metrics.ts'
import { errorTable } from '../../src/shared/errors.ts'
import { projectRoot } from '../packaging/rehearsal.ts'
import { readQuery } from './promql.ts'

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8')
const ruleFile = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          labels: z.object({ severity: z.enum(['warning', 'critical']) }),
          annotations: z.object({ summary: z.string(), runbook_url: z.string() }),
        }),
      ),
    }),
  ),
})
const alerts = ruleFile
  .parse(parse(read('deploy/prometheus/alerts.yml')))
  .groups.flatMap((group) => group.rules)
const runbooks = read('docs/runbooks.md')

/** Every series that a scrape may bring, with its labels. */
const known = await knownSeries()

async function knownSeries(): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const scraped = ['instance', 'job']
  const series = new Map<string, ReadonlySet<string>>([['up', new Set(scraped)]])
  for (const { name, labels, type } of metricFamilies) {
    const all = [...scraped, 'service', ...labels]
    if (type !== 'histogram') series.set(name, new Set(all))
    else {
      series.set(`${name}_bucket`, new Set([...all, 'le']))
      for (const suffix of ['_sum', '_count']) series.set(name + suffix, new Set(all))
    }
  }
  series.set('pontoon_build_info', new Set([...scraped, 'version', 'node']))
  const defaults = new Registry()
  collectDefaultMetrics({ register: defaults, prefix: 'pontoon_' })
  for (const { name } of await defaults.getMetricsAsJSON()) series.set(name, new Set(scraped))
  return series
}

/** What is wrong with a query; empty when nothing is. */
function queryMistakes(expr: string): readonly string[] {
  const { valid, selectors, groupedBy } = readQuery(expr)
  const labels = new Set(selectors.flatMap(({ metric }) => [...(known.get(metric) ?? [])]))
  return [
    ...(valid ? [] : ['is no PromQL']),
    ...(selectors.length > 0 ? [] : ['names no series']),
    ...selectors.flatMap(({ metric, labels: matched }) => {
      const has = known.get(metric)
      if (has === undefined) return [`${metric} does not exist`]
      return matched.filter((label) => !has.has(label)).map((label) => `${metric} has no ${label}`)
    }),
    ...groupedBy.filter((label) => !labels.has(label)).map((label) => `nothing has ${label}`),
  ]
}

void t.test('the check of queries finds what it is for', async (test) => {
  test.same(queryMistakes('rate(pontoon_errors_total{code="X"}[5m])'), [])
  test.same(queryMistakes('sum(rate('), ['is no PromQL', 'names no series'])
  test.same(queryMistakes('pontoon_erors_total'), ['pontoon_erors_total does not exist'])
  test.same(queryMistakes('pontoon_errors_total{side="source"}'), [
    'pontoon_errors_total has no side',
  ])
  test.same(queryMistakes('sum by (side) (pontoon_errors_total)'), ['nothing has side'])
})

const promtool = (...args: string[]): string =>
  execFileSync('promtool', args, {
    cwd: join(projectRoot, 'deploy/prometheus'),
    encoding: 'utf8',
  })

void t.test('promtool accepts the rules and their unit tests', async (test) => {
  await ensureTools(['promtool'])
  test.match(promtool('check', 'rules', '--lint=all', '--lint-fatal', 'alerts.yml'), /SUCCESS/)
  test.match(promtool('test', 'rules', 'alerts.test.yml'), /SUCCESS/)
})

void t.test('each alert fires in a test, stays quiet in another, has a runbook', async (test) => {
  const tests = z
    .object({ tests: z.array(z.object({ name: z.string() })) })
    .parse(parse(read('deploy/prometheus/alerts.test.yml')))
    .tests.map(({ name }) => name)
  test.ok(alerts.length >= 18)
  for (const { alert, expr, annotations } of alerts) {
    test.same(queryMistakes(expr), [], alert)
    test.ok(tests.includes(`${alert} fires`) && tests.includes(`${alert} stays quiet`), alert)
    test.equal(annotations.runbook_url, `docs/runbooks.md#${alert.toLowerCase()}`)
    test.match(runbooks, new RegExp(`^## ${alert}\\n\\n\\S`, 'm'), `${alert} has a runbook`)
  }
  const sections = [...runbooks.matchAll(/^## (Pontoon\w+)$/gm)].map(([, name]) => name)
  test.same(new Set(sections), new Set(alerts.map(({ alert }) => alert)), 'and nothing else has')
  const codes = runbooks.match(/\b[A-Z]{3,}(?:_[A-Z]+)+\b/g) ?? []
  test.same(
    codes.filter((code) => !Object.hasOwn(errorTable, code)),
    [],
    'error codes exist',
  )
})

const dashboard = z.object({
  uid: z.literal('pontoon'),
  templating: z.object({
    list: z.array(z.object({ name: z.string(), type: z.string(), query: z.unknown() })),
  }),
  annotations: z.object({ list: z.array(z.object({ expr: z.string() })) }),
  panels: z.array(
    z.object({
      id: z.number(),
      title: z.string().min(1),
      description: z.string().min(1),
      datasource: z.object({ type: z.literal('prometheus'), uid: z.literal('${datasource}') }),
      gridPos: z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() }),
      targets: z.array(z.object({ expr: z.string(), legendFormat: z.string() })).min(1),
    }),
  ),
})

// Grafana puts these in; the grammar wants a duration and a number.
const plain = (expr: string): string => expr.replaceAll('$__rate_interval', '1m')

void t.test('the dashboard asks for what exists, and its panels do not overlap', async (test) => {
  const { panels, templating, annotations } = dashboard.parse(
    JSON.parse(read('deploy/grafana/dashboards/pontoon.json')),
  )
  test.same(
    templating.list.map(({ name }) => name),
    ['datasource', 'service', 'instance'],
  )
  for (const { title, targets } of panels)
    for (const { expr } of targets) test.same(queryMistakes(plain(expr)), [], title)
  for (const { expr } of annotations.list) test.same(queryMistakes(plain(expr)), [])
  test.equal(new Set(panels.map(({ id }) => id)).size, panels.length)
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, n) => `${x + (n % w)},${y + Math.floor(n / w)}`),
  )
  test.equal(new Set(cells).size, cells.length)
  test.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
})

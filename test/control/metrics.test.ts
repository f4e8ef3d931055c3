/** Names, labels and values of the metrics, against the text that Prometheus would read. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { generateAdminDocs } from '../../scripts/docs-admin.ts'
import { Metrics, metricFamilies } from '../../src/control/metrics.ts'
import { unreachable } from '../../src/migration/pg/sync/health.ts'
import { BucketHistogram } from '../../src/shared/histogram.ts'
import { startFixture } from './fixture.ts'

function valueOf(text: string, sample: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${sample} `))
  return Number(line?.slice(sample.length))
}

void t.test('counters and gauges carry the exact values', async (test) => {
  const { request, service } = await startFixture(test)
  service.stats.transactions.source = 7
  service.stats.queries.target = 3
  service.stats.bytesToClients = 1_000
  service.stats.serverErrors.set('42', 2)
  service.stats.ownErrors.set('POOL_TIMEOUT', 4)
  const pool = {
    user: 'app',
    database: 'orders',
    access: 'write',
    probing: 0,
    waiting: 2,
    oldestWaitMs: 1_500,
    size: 20,
    minSize: 0,
    connecting: 0,
    failure: '',
  } as const
  service.stats.servers.source.opened = 5
  service.stats.servers.target.openErrors.set('CONNECT_TIMEOUT', 3)
  service.stats.servers.target.probes.dead = 2
  service.stats.servers.source.closed.set('lifetime', 4)
  service.snapshotExtra = {
    pinned: { LISTEN: 2 },
    pools: [
      { ...pool, side: 'source', idle: 3, active: 1 },
      { ...pool, side: 'source', user: 'other', idle: 1, active: 1 },
    ],
  }
  const { text } = await request('/metrics')
  const expected: Readonly<Record<string, number>> = {
    'pontoon_transactions_total{service="orders",side="source"}': 7,
    'pontoon_transactions_total{service="orders",side="target"}': 0,
    'pontoon_queries_total{service="orders",side="target"}': 3,
    'pontoon_bytes_total{service="orders",direction="to_clients"}': 1_000,
    'pontoon_server_errors_total{service="orders",sqlstate_class="42"}': 2,
    'pontoon_errors_total{service="orders",code="POOL_TIMEOUT"}': 4,
    'pontoon_limit_hits_total{service="orders",limit="pool.queueTimeoutMs"}': 4,
    'pontoon_limit_hits_total{service="orders",limit="limits.queryTimeoutMs"}': 0,
    'pontoon_clients{service="orders",state="idle"}': 2,
    'pontoon_servers{service="orders",side="source",state="idle"}': 4,
    'pontoon_servers{service="orders",side="source",state="active"}': 2,
    'pontoon_servers{service="orders",side="target",state="idle"}': 0,
    'pontoon_pool_waiting{service="orders",side="source"}': 4,
    'pontoon_pool_wait_oldest_seconds{service="orders",side="source"}': 1.5,
    'pontoon_servers_opened_total{service="orders",side="source"}': 5,
    'pontoon_servers_closed_total{service="orders",side="source",reason="lifetime"}': 4,
    'pontoon_server_open_errors_total{service="orders",side="target",code="CONNECT_TIMEOUT"}': 3,
    'pontoon_server_probes_total{service="orders",side="target",result="dead"}': 2,
    'pontoon_pinned_clients{service="orders",reason="LISTEN"}': 2,
    'pontoon_route_epoch{service="orders"}': service.route.epoch,
    'pontoon_route_reads_percent{service="orders"}': 0,
    'pontoon_gate_paused{service="orders"}': 0,
  }
  for (const [sample, value] of Object.entries(expected)) {
    test.equal(valueOf(text, sample), value, sample)
  }
})

void t.test('a shift and a pause show at the next scrape', async (test) => {
  const { request, service } = await startFixture(test)
  service.applyRoute({ ...service.route, epoch: 9, reads: 40 })
  service.gate.pause(10_000, 'test')
  const { text } = await request('/metrics')
  service.gate.open()
  test.equal(valueOf(text, 'pontoon_route_epoch{service="orders"}'), 9)
  test.equal(valueOf(text, 'pontoon_route_reads_percent{service="orders"}'), 40)
  test.equal(valueOf(text, 'pontoon_gate_paused{service="orders"}'), 1)
})

void t.test('histogram buckets are cumulative and end with everything', async (test) => {
  const { request, service } = await startFixture(test)
  const histogram = service.stats.query.target.read
  // On a bound counts below it; beyond the last bound only +Inf has it.
  for (const seconds of [0.000_05, 0.001, 0.001_1, 0.5, 61]) histogram.observe(seconds)
  const { text } = await request('/metrics')
  const labels = 'service="orders",side="target",kind="read"'
  const bucket = (bound: string): number =>
    valueOf(text, `pontoon_query_seconds_bucket{${labels},le="${bound}"}`)
  test.same(
    ['0.0001', '0.0005', '0.001', '0.0025', '0.25', '0.5', '60', '+Inf'].map(bucket),
    [1, 1, 2, 3, 3, 4, 4, 5],
  )
  test.equal(valueOf(text, `pontoon_query_seconds_count{${labels}}`), 5)
  test.equal(valueOf(text, `pontoon_query_seconds_sum{${labels}}`).toFixed(5), '61.50215')
})

void t.test('names, types and labels follow the rules of Prometheus', async (test) => {
  const names = metricFamilies.map(({ name }) => name)
  test.equal(new Set(names).size, names.length, 'each once')
  for (const { name, type, labels } of metricFamilies) {
    test.match(name, /^pontoon_[a-z_]+$/)
    test.equal(name.endsWith('_total'), type === 'counter', `${name}: counters end in _total`)
    if (type === 'histogram') test.ok(name.endsWith('_seconds'), `${name}: histograms in seconds`)
    for (const label of labels) test.match(label, /^[a-z][a-z_]*$/)
  }
  const registered = new Metrics(() => [], '0').names()
  for (const name of names) test.ok(registered.includes(name), `${name} is in the registry`)
  test.ok(registered.includes('pontoon_process_cpu_seconds_total'))
})

void t.test('every label of a sample is declared, and the other way round', async (test) => {
  const { service } = await startFixture(test)
  service.stats.serverErrors.set('42', 1)
  service.stats.ownErrors.set('INTERNAL', 1)
  service.stats.servers.source.openErrors.set('CONNECT_FAILED', 1)
  service.stats.servers.source.closed.set('lost', 1)
  service.snapshotExtra = {
    pinned: { LISTEN: 1 },
    certificates: [{ leg: 'client', expiresMs: 1, problem: null }],
  }
  const histogram = new BucketHistogram()
  histogram.observe(1)
  service.commands = {
    snapshot: () => ({
      commands: [{ command: 'get', calls: 2, errors: 1 }],
      slow: [],
      hotKeys: [],
      bigValues: [],
    }),
    families: () => [['string', histogram]],
  }
  const health = unreachable('forward', 'down')
  const sync = {
    direction: 'forward',
    health: [{ ...health, lagBytes: 1, lagMs: 2, errors: { apply: 0, sync: 0, conflicts: {} } }],
    conditions: [],
    rollbackReady: false,
    givenUpSince: null,
    slots: [{ side: 'source', name: 's', retainedBytes: 1 }],
    fences: { source: false, target: true },
    drift: [],
  } as const
  for (const { name, labels, read } of metricFamilies) {
    const samples = read(service.snapshot(), service, sync)
    test.ok(samples.length > 0, `${name} has samples`)
    for (const [given] of samples) test.same(Object.keys(given), labels, name)
  }
})

void t.test('docs/metrics.md and docs/cli.md are up to date', async (test) => {
  for (const { path, text } of await generateAdminDocs()) {
    const written = readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
    test.equal(written, text, `${path}: run node --import=tsx scripts/docs-admin.ts`)
  }
})

/** Console users who could never log in, and names that a real database takes, are pointed out. */
import t from 'tap'
import type { CheckReport } from '../../src/config/checks.ts'
import { checkConsole } from '../../src/config/console-checks.ts'
import { compareConfigs, liveConfig } from '../../src/config/compare.ts'
import { configSchema } from '../../src/config/schema.ts'
import type { Config } from '../../src/config/schema.ts'

function configOf(extra: Record<string, unknown>): Config {
  const orders = {
    protocol: 'postgres',
    listen: '127.0.0.1:6432',
    clientAuth: { mode: 'trust' },
    source: { host: 'a' },
    target: { host: 'b' },
    ...extra,
  }
  return configSchema.parse({ services: { orders } })
}

function warningsOf(extra: Record<string, unknown>): readonly string[] {
  const said: string[] = []
  const report: CheckReport = {
    mistake: () => undefined,
    warning: (path, message) => said.push(`${path.join('.')} ${message}`),
  }
  const { orders } = configOf(extra).services
  if (orders?.protocol === 'postgres') checkConsole(['orders'], orders, report)
  return said
}

void t.test('who cannot log in', async (test) => {
  const users = { ops: { verifier: 'secret' } }
  const scram = { clientAuth: { mode: 'scram' }, users }
  test.same(warningsOf({ ...scram, consoleUsers: ['ops'] }), [])
  test.same(warningsOf({ ...scram, consoleUsers: ['ops'], statsUsers: ['eyes'] }), [
    'orders.statsUsers names eyes, who is not in users and cannot log in',
  ])
  test.same(warningsOf({ statsUsers: ['eyes'] }), [], 'trust asks nobody')
})

void t.test('a real database takes the name', async (test) => {
  test.same(warningsOf({ consoleUsers: ['ops'], databases: ['pontoon', 'shop'] }), [
    'orders.consoleUsers has no effect for pontoon: databases lists a real one',
  ])
})

void t.test('a reload changes both lists', async (test) => {
  const before = configOf({ consoleUsers: ['ops'], statsUsers: ['eyes'] })
  const after = configOf({ consoleUsers: ['ops', 'more'] })
  const { live, needRestart } = compareConfigs(before, after)
  test.ok(live.length >= 2 && live.every((path) => /\.(console|stats)Users/.test(path)))
  test.same(needRestart, [])
  const { orders } = liveConfig(before, after).services
  if (orders?.protocol !== 'postgres') throw new Error('the service is lost')
  test.same(orders.consoleUsers, ['ops', 'more'])
  test.equal(orders.statsUsers, undefined)
})

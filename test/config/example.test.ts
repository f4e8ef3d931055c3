import { fileURLToPath } from 'node:url'
import t from 'tap'
import { loadConfig } from '../../src/config/load.ts'

const file = fileURLToPath(new URL('../../config/database.yml', import.meta.url))

void t.test('config/database.yml loads with the variables that it names', async (test) => {
  const { config, warnings } = loadConfig([file], {
    CLIENT_PASSWORD: 'c',
    SOURCE_HOST: 'db.internal',
    SOURCE_PASSWORD: 's',
    TARGET_HOST: 'orders.abc.eu-west-1.rds.amazonaws.com',
    TARGET_PASSWORD: 't',
    PONTOON_TOKEN: 'token',
  })
  test.strictSame(warnings, [])
  test.match(config.services['orders'], { source: { password: 's' }, target: { password: 't' } })
  test.throws(() => loadConfig([file], {}), { code: 'CONFIG_ENV_MISSING', mistakes: { length: 6 } })
})

/** A large value, a slow reader, a whole sidecar; the largest is in test/soak. */
import t from 'tap'
import { holdsUpOthersMsMax } from '../../../src/proxy/redis/limits.ts'
import { programArgs } from '../../support/program.ts'
import { startRedis } from '../../support/redis.ts'
import { readSlowly } from '../../support/slow-reader.ts'

const redis = await startRedis()
t.teardown(() => redis.stop())

await t.test('a slow reader of a large value costs neither memory nor others', async (test) => {
  const report = await readSlowly({
    redis,
    folder: test.testdir({}),
    command: programArgs('src/main.ts'),
    valueBytes: 96 * 1024 * 1024,
    stepBytes: 4 * 1024 * 1024,
    restMs: 10,
  })
  test.equal(report.isWhole, true, `${report.receivedBytes} bytes`)
  test.ok(report.grownBytes < 64 * 1024 * 1024, `grown by ${report.grownBytes} bytes`)
  test.ok(report.otherCommands > 15, `${report.otherCommands} commands of others`)
  test.ok(report.slowestOtherMs < holdsUpOthersMsMax, `the slowest in ${report.slowestOtherMs} ms`)
})

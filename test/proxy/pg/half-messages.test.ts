/**
 * A server may say something by itself at any time, and a part of that may come with the last
 * reply. The rest of it must not reach whoever is given the server next.
 */
import t, { type Test } from 'tap'
import * as back from '../../support/pg-backend.ts'
import { copyData, int16, message, query, terminate } from '../../support/pg-frontend.ts'
import { summary } from '../../support/pg-wire.ts'
import { startPontoon, until, type Pontoon } from '../../support/pontoon.ts'
import {
  expect,
  expectStartup,
  send,
  silence,
  startMockPostgres,
  type Step,
} from '../../support/mock-postgres.ts'

const notice = back.noticeResponse('00000', 'a configuration was read')
const [half, otherHalf] = [notice.subarray(0, 20), notice.subarray(20)]
const copyInResponse = message('G', Buffer.from([0]), int16(1), int16(0))
const login = [expectStartup(), send(back.welcome())]
const answer = [
  back.rowDescription('a'),
  back.dataRow('1'),
  back.commandComplete('SELECT 1'),
  back.readyForQuery(),
]

async function pontoonBefore(test: Test, ...scripts: readonly Step[][]): Promise<Pontoon> {
  const mock = await startMockPostgres((connection) => scripts[connection] ?? [silence()])
  const pontoon = await startPontoon({ source: mock, pool: { size: 1 } })
  test.teardown(async () => {
    await pontoon.stop()
    await mock.stop()
  })
  return pontoon
}

void t.test('a client that leaves in the middle of it takes the server along', async (test) => {
  const first = [...login, expect('Q'), send(...answer, half), expect('X'), silence()]
  const second = [...login, expect('Q'), send(...answer), silence()]
  const pontoon = await pontoonBefore(test, first, second)
  const [leaving, next] = [await pontoon.client(), await pontoon.client()]
  await leaving.wire.send(query('SELECT 1'))
  await leaving.wire.until('Z')
  await next.wire.send(query('SELECT 1'))
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'the next waits')
  await leaving.wire.send(terminate())
  test.equal(summary(await next.wire.until('Z')), 'TDCZ')
  await pontoon.untilIdle()
})

void t.test('a COPY that failed early ends when both sides are through', async (test) => {
  const failed = [back.errorResponse('22P02', 'no number'), back.readyForQuery(), half]
  const script = [
    ...login,
    expect('Q'),
    send(copyInResponse, ...failed),
    expect('d'),
    send(otherHalf),
    expect('Q'),
    send(...answer),
    silence(),
  ]
  const pontoon = await pontoonBefore(test, script)
  const [copying, next] = [await pontoon.client(), await pontoon.client()]
  await copying.wire.send(query('COPY t FROM STDIN'))
  await copying.wire.until('G')
  const data = copyData('x'.repeat(10_000))
  await copying.wire.send(data.subarray(0, 5_000))
  await copying.wire.until('Z')
  await next.wire.send(query('SELECT 1'))
  await until(() => pontoon.service.snapshot().clients.waiting === 1, 'the next waits')
  await copying.wire.send(data.subarray(5_000))
  test.equal(summary(await next.wire.until('Z')), 'TDCZ', 'nothing of the notice')
  test.equal(summary(await copying.wire.until('N')), 'N', 'it is for who was there')
  await pontoon.untilIdle()
})

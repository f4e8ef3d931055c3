/** Pause, resume and reconnect over HTTP, and the list of clients. */
import t from 'tap'
import { fakeClient } from '../fake-service.ts'
import { listOf, startFixture } from '../fixture.ts'

void t.test('pause without a body takes the defaults and says what still runs', async (test) => {
  const { request, service } = await startFixture(test)
  service.busy = [fakeClient(7)]
  const answer = await request('/v1/services/orders/pause', { method: 'POST' })
  test.equal(answer.status, 200)
  test.same(answer.json, { drained: false, waitingFor: [fakeClient(7)], ended: 0 })
  test.match(service.calls, ['listen', 'pause 5000 1000'])
  test.equal(service.gate.isOpen, false)
  const resumed = await request('/v1/services/orders/resume', { method: 'POST' })
  test.match(resumed.json, { state: 'open' })
  test.equal(service.gate.isOpen, true)
})

void t.test('a wait longer than the pause is cut, other limits are refused', async (test) => {
  const { request, service } = await startFixture(test)
  const pause = (body: unknown): ReturnType<typeof request> =>
    request('/v1/services/orders/pause', { method: 'POST', body })
  test.equal((await pause({ forMs: 200, waitMs: 60_000 })).status, 200)
  test.equal(service.calls.at(-1), 'pause 200 200')
  for (const body of [{ forMs: 0 }, { forMs: 60_001 }, { forMs: 1.5 }, { forms: 5 }, 5, [1]]) {
    const answer = await pause(body)
    test.equal(answer.status, 400, JSON.stringify(body))
    test.equal(answer.json['code'], 'BAD_REQUEST')
  }
  test.equal(service.calls.length, 2)
  service.resume()
})

void t.test('what still runs is ended only when told to', async (test) => {
  const { request, service } = await startFixture(test)
  service.busy = [fakeClient(7), fakeClient(8)]
  const pause = (terminate: boolean): ReturnType<typeof request> =>
    request('/v1/services/orders/pause', { method: 'POST', body: { terminate } })
  test.match((await pause(false)).json, { drained: false, ended: 0 })
  test.equal(service.busy.length, 2)
  test.match((await pause(true)).json, { drained: true, waitingFor: [], ended: 2 })
  test.match(service.calls.slice(-4), [/^pause/, 'end {"id":7}', 'end {"id":8}', /^pause/])
  service.resume()
})

void t.test('reconnect, and what an unknown service gets', async (test) => {
  const { request, service } = await startFixture(test)
  test.equal((await request('/v1/services/orders/reconnect', { method: 'POST' })).status, 200)
  test.equal(service.calls.at(-1), 'reconnect')
  for (const action of ['pause', 'resume', 'reconnect']) {
    const answer = await request(`/v1/services/nope/${action}`, { method: 'POST' })
    test.equal(answer.status, 404, action)
  }
  const entries = listOf(await request('/v1/audit'), 'entries')
  test.same(
    entries.map(({ action, outcome }) => `${String(action)} ${String(outcome)}`),
    ['pool.reconnect done', 'gate.pause refused', 'gate.resume refused', 'pool.reconnect refused'],
  )
})

void t.test('clients are listed up to a limit', async (test) => {
  const { request, service } = await startFixture(test)
  service.busy = [fakeClient(1), fakeClient(2), fakeClient(3)]
  test.equal((await listed('')).length, 3)
  test.equal((await listed('?limit=2')).length, 2)
  for (const query of ['?limit=0', '?limit=-1', '?limit=x', '?limits=2']) {
    test.equal((await request(`/v1/services/orders/clients${query}`)).status, 400, query)
  }
  async function listed(query: string): Promise<readonly unknown[]> {
    return listOf(await request(`/v1/services/orders/clients${query}`), 'clients')
  }
})

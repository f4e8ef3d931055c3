/** When a secret is loaded, refreshed, given out for longer and tried again: with a clock of ours. */
import t from 'tap'
import { RefreshedValue } from '../../../src/net/secrets/refreshed-value.ts'
import type { Log } from '../../../src/shared/log.ts'
import { silentLog } from '../../../src/shared/log.ts'

const minute = 60_000

class Fixture {
  nowMs = 0
  loads = 0
  next: string | Error = 'one'
  pending: string | null = null
  readonly lines: string[] = []
  /** Loads wait for it. */
  gate: Promise<void> = Promise.resolve()
  readonly value: RefreshedValue

  constructor(usableForMs = 14 * minute) {
    const log: Log = { ...silentLog, warn: (fields, text) => this.#note(fields, text) }
    this.value = new RefreshedValue(
      {
        what: 'the token',
        load: async () => {
          this.loads += 1
          const { next } = this
          await this.gate
          if (next instanceof Error) throw next
          return next
        },
        pending: () => Promise.resolve(this.pending),
        refreshAfterMs: 10 * minute,
        usableForMs,
      },
      { clock: { nowMs: () => this.nowMs, wallMs: () => this.nowMs }, log },
    )
  }

  #note(fields: object, text: string): void {
    this.lines.push(`${text} ${JSON.stringify(fields)}`)
  }

  /** Lets a refresh in the background come to its end. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve()
  }
}

void t.test('loads once for all who ask', async (test) => {
  const fixture = new Fixture()
  const { value } = fixture
  test.same(await Promise.all([value.get(), value.get(), value.get()]), ['one', 'one', 'one'])
  test.equal(await value.get(), 'one')
  test.equal(fixture.loads, 1)
})

void t.test('refreshes ahead of the end, and nobody waits for it', async (test) => {
  const fixture = new Fixture()
  await fixture.value.get()
  fixture.nowMs = 10 * minute
  fixture.next = 'two'
  let open: (() => void) | undefined
  fixture.gate = new Promise((resolve) => {
    open = resolve
  })
  test.equal(await fixture.value.get(), 'one', 'served with what there is')
  test.equal(await fixture.value.get(), 'one')
  test.equal(fixture.loads, 2, 'one refresh is under way')
  open?.()
  await fixture.settle()
  test.equal(await fixture.value.get(), 'two')
})

void t.test('a value past its end is not given out', async (test) => {
  const fixture = new Fixture()
  await fixture.value.get()
  fixture.nowMs = 14 * minute
  fixture.next = 'two'
  test.equal(await fixture.value.get(), 'two')
  const forever = new Fixture(Number.POSITIVE_INFINITY)
  await forever.value.get()
  forever.nowMs = 1_000 * minute
  forever.next = new Error('down')
  test.equal(await forever.value.get(), 'one', 'better an old password than none')
})

void t.test('failures wait longer and longer, and say what failed', async (test) => {
  const fixture = new Fixture()
  fixture.next = new Error('no credentials')
  const ask = (): Promise<string> => fixture.value.get()
  await test.rejects(ask(), {
    code: 'SECRET_UNAVAILABLE',
    message: 'the token cannot be had: Error: no credentials',
  })
  await test.rejects(ask(), 'at once again: not asked')
  test.equal(fixture.loads, 1)
  const loadedAt: number[] = []
  for (fixture.nowMs = 1; fixture.nowMs < 120_000; fixture.nowMs += 100) {
    const before = fixture.loads
    await test.rejects(ask())
    if (fixture.loads > before) loadedAt.push(Math.round(fixture.nowMs / 100) / 10)
  }
  const gaps = loadedAt.map((at, index) => Math.round(at - (loadedAt[index - 1] ?? 0)))
  test.ok(
    gaps.every((gap, index) => gap >= (gaps[index - 1] ?? 0) - 1),
    gaps.join(),
  )
  test.ok((gaps.at(-1) ?? 0) <= 31, `bounded: ${gaps.join()}`)
  fixture.next = 'one'
  fixture.nowMs += 31_000
  test.equal(await ask(), 'one')
  test.equal(fixture.lines.length, fixture.loads - 1, 'each failed load is logged once')
  test.notMatch(fixture.lines.join(), 'one')
})

void t.test('a refresh that fails keeps the value until its end', async (test) => {
  const fixture = new Fixture()
  await fixture.value.get()
  fixture.next = new Error('down')
  fixture.nowMs = 12 * minute
  test.equal(await fixture.value.get(), 'one')
  await fixture.settle()
  fixture.nowMs = 14 * minute
  await test.rejects(fixture.value.get(), { code: 'SECRET_UNAVAILABLE' })
})

void t.test('a refused value is loaded anew, once for all who were refused', async (test) => {
  const fixture = new Fixture()
  await fixture.value.get()
  fixture.next = 'two'
  const renewals = [1, 2, 3].map(() => fixture.value.renew('one'))
  test.same(await Promise.all(renewals), ['two', 'two', 'two'])
  test.equal(await fixture.value.renew('one'), 'two', 'somebody has renewed it already')
  test.equal(fixture.loads, 2)
})

void t.test('a storm of refusals asks once a second', async (test) => {
  const fixture = new Fixture()
  await fixture.value.get()
  test.equal(await fixture.value.renew('one'), null, 'nothing newer')
  for (let attempt = 0; attempt < 50; attempt += 1)
    test.equal(await fixture.value.renew('one'), null)
  test.equal(fixture.loads, 2)
  fixture.nowMs += 1_000
  test.equal(await fixture.value.renew('one'), null)
  test.equal(fixture.loads, 3)
})

void t.test(
  'a rotation that is under way: the pending value, then the one before',
  async (test) => {
    const fixture = new Fixture()
    await fixture.value.get()
    fixture.pending = 'two'
    test.equal(await fixture.value.renew('one'), 'two', 'the server has it already')
    test.equal(await fixture.value.get(), 'two')
    fixture.pending = null
    fixture.nowMs += 1_000
    test.equal(await fixture.value.renew('two'), 'one', 'taken back')
    fixture.nowMs += 1_000
    fixture.next = 'three'
    test.equal(await fixture.value.renew('one'), 'three')
    fixture.nowMs += 1_000
    test.equal(await fixture.value.renew('three'), 'one', 'loaded ahead of the server')
  },
)

void t.test('a renewal that cannot load leaves the word to the server', async (test) => {
  const fixture = new Fixture()
  await fixture.value.get()
  fixture.next = new Error('down')
  test.equal(await fixture.value.renew('one'), null)
})

/** Rows of a table without a key are not repaired: it is said once, with what to do, and that helps. */
import tap from 'tap'
import { OperatedPair } from '../../../support/operated-pair.ts'

tap.setTimeout(280_000)

const words =
  /3 rows stay as they are, also with --repair[^\n]*no key[^\n]*ALTER TABLE public\.heap ADD PRIMARY KEY[^\n]*pontoon verify --repair/g

await tap.test('a repair of a table without a key', async (t) => {
  const operated = await OperatedPair.start(t, { source: 15, target: 15 })
  for (const side of ['source', 'target'] as const)
    await operated.onSide(
      side,
      'SET ROLE app; CREATE TABLE heap (id int NOT NULL, v text); ALTER TABLE heap REPLICA IDENTITY FULL',
    )
  const sync = await operated.run('sync')
  t.equal(sync.exit, 0, sync.out + sync.err)
  await operated.onSide(
    'target',
    "INSERT INTO heap VALUES (1, 'a'), (2, 'b'), (3, 'c'); DELETE FROM accounts WHERE id = 1",
  )
  for (const how of [[], ['--repair', '--dry-run'], ['--repair']]) {
    const verify = await operated.run('verify', ...how)
    t.equal(verify.exit, 1, `${how.join(' ')}: ${verify.out}`)
    t.equal(verify.out.match(words)?.length, 1, `once: ${verify.out}`)
  }
  const accounts = 'SELECT count(*)::int AS n FROM accounts'
  t.same(
    await operated.onSide('target', accounts),
    [{ n: 100 }],
    'others are repaired all the same',
  )

  for (const side of ['target', 'source'] as const)
    await operated.onSide(side, 'ALTER TABLE heap ADD PRIMARY KEY (id)')
  const repaired = await operated.run('verify', '--repair')
  t.equal(repaired.exit, 0, repaired.out + repaired.err)
  t.same(await operated.onSide('target', 'SELECT id FROM heap'), [])
})

import tap from 'tap'
import { deriveKeys } from '../../../src/net/pg/scram.ts'
import { ScramKeyCache } from '../../../src/net/pg/scram-keys.ts'

void tap.test('logins at once share one derivation', async (t) => {
  let derived = 0
  const cache = new ScramKeyCache((...asked) => {
    derived += 1
    return deriveKeys(...asked)
  })
  const salt = Buffer.from('0123456789abcdef')
  const all = await Promise.all(
    Array.from({ length: 20 }, () => cache.derive('secret', salt, 4_096)),
  )
  t.equal(derived, 1)
  t.same(all[19], await deriveKeys('secret', salt, 4_096))
  await cache.derive('other', salt, 4_096)
  await cache.derive('secret', Buffer.from('another salt'), 4_096)
  await cache.derive('secret', salt, 4_097)
  t.equal(derived, 4, 'password, salt and rounds each count')
  for (let index = 0; index < 200; index += 1) await cache.derive(`${index}`, salt, 1)
  await cache.derive('secret', salt, 4_096)
  t.equal(derived, 205, 'the oldest are forgotten')
})

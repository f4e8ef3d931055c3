/** What `pontoon check` says of the certificate that clients are shown. */
import { writeFileSync } from 'node:fs'
import t from 'tap'
import { createAuthority } from '../support/certificates.ts'
import { pontoon } from './capture.ts'

const authority = await createAuthority()
t.teardown(() => authority.remove())

void t.test('a pair that can be used, that ends soon, and that cannot be used', async (test) => {
  const folder = test.testdir({})
  const [one, other] = [await authority.server(), await authority.server()]
  const check = (cert: string, key: string): ReturnType<typeof pontoon> => {
    const file = `${folder}/pontoon.yml`
    writeFileSync(
      file,
      `
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:6432
    clientAuth: { mode: trust }
    clientTls: { mode: prefer, cert: ${cert}, key: ${key} }
    source: { host: 127.0.0.1, port: 5432 }
    target: { host: 127.0.0.1, port: 5433 }
`,
    )
    return pontoon(['check', '--config', file, '--offline'])
  }
  const good = await check(one.certPath, one.keyPath)
  test.equal(good.exit, 0)
  test.match(good.out, /orders clients\n +ok +TLS +can be used, expires .* GMT/)
  test.match(good.out, /warning +the certificate expires in 2[34] hours/)
  const hour = 3_600_000
  const past = await authority.expired()
  test.match(
    (await check(past.certPath, past.keyPath)).out,
    /warning +the certificate has expired 1 hour ago: who verifies it refuses it/,
  )
  const future = await authority.server({
    notBefore: new Date(Date.now() + hour),
    notAfter: new Date(Date.now() + 90 * 24 * hour),
  })
  const early = await check(future.certPath, future.keyPath)
  test.match(early.out, /warning +the certificate is not valid before .* GMT: who verifies it/)
  test.notMatch(early.out, /expires in/)
  const mixed = await check(one.certPath, other.keyPath)
  test.equal(mixed.exit, 1)
  test.match(mixed.out, /FAILED +TLS +a TLS certificate or key cannot be used.*\[CONFIG_INVALID\]/)
  const missing = await check(`${folder}/none`, one.keyPath)
  test.match(missing.out, /FAILED +TLS +cannot read .*none/)
})

/** When files that have changed are taken, when a failure is told, and when not. */
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { clientTls, clientTlsFiles, serverTls } from '../../src/net/tls.ts'
import { TlsFiles } from '../../src/net/tls-files.ts'
import { silentLog, type Log } from '../../src/shared/log.ts'
import { systemClock, type Clock } from '../../src/shared/clock.ts'
import { createAuthority } from '../support/certificates.ts'
import type { Certificate } from '../support/certificates.ts'

const authority = await createAuthority()
t.teardown(() => authority.remove())
const hourMs = 3_600_000
const [first, second, expired, early] = await Promise.all([
  authority.server(),
  authority.server(),
  authority.expired(),
  authority.server({
    notBefore: new Date(Date.now() + hourMs),
    notAfter: new Date(Date.now() + 48 * hourMs),
  }),
])

interface Watched {
  readonly files: TlsFiles<unknown>
  readonly cert: string
  readonly key: string
  readonly errors: string[]
}

function watch(
  test: Test,
  { cert: pem, key: keyPem }: Certificate = first,
  clock: Clock = systemClock,
): Watched {
  const folder = test.testdir({ cert: pem, key: keyPem })
  const [cert, key] = [join(folder, 'cert'), join(folder, 'key')]
  const config = { mode: 'require', cert, key } as const
  const errors: string[] = []
  const error: Log['error'] = (_, message) => void errors.push(message)
  const files = new TlsFiles({
    name: 'the client leg',
    make: () => clientTls(config),
    files: clientTlsFiles(config),
    clock,
    log: { ...silentLog, error },
  })
  return { files, cert, key, errors }
}

void t.test('a new pair is taken at the next look, an old one is left alone', (test) => {
  const { files, cert, key, errors } = watch(test)
  const { current } = files
  files.look()
  test.equal(files.current, current, 'not made anew for nothing')
  writeFileSync(cert, second.cert)
  writeFileSync(key, second.key)
  test.equal(files.current, current, 'not before it is looked at')
  files.look()
  test.not(files.current, current)
  test.strictSame([files.problem, errors], [null, []])
  test.end()
})

void t.test('a pair that is replaced one file after the other is no error', (test) => {
  const { files, cert, key, errors } = watch(test)
  const { current } = files
  writeFileSync(cert, second.cert)
  files.look()
  test.equal(files.current, current)
  writeFileSync(key, second.key)
  files.look()
  test.not(files.current, current)
  test.strictSame([files.problem, errors], [null, []])
  test.end()
})

void t.test('a pair that stays broken is told once, and the one before stays', (test) => {
  const { files, cert, errors } = watch(test)
  const { current } = files
  writeFileSync(cert, second.cert)
  for (let looks = 0; looks < 5; looks += 1) files.look()
  test.equal(files.current, current)
  test.match(files.problem, /^TLS files of the client leg: a TLS certificate or key cannot be used/)
  test.equal(errors.length, 1)
  test.match(errors[0], /the ones before stay in use$/)
  writeFileSync(cert, 'garbage')
  for (let looks = 0; looks < 5; looks += 1) files.look()
  test.match(files.problem, /cert holds no certificate$/)
  rmSync(cert)
  for (let looks = 0; looks < 5; looks += 1) files.look()
  test.match(files.problem, /cannot read .*ENOENT/)
  test.equal(errors.length, 3, 'each once')
  writeFileSync(cert, first.cert)
  files.look()
  test.equal(files.problem, null, 'mended')
  test.end()
})

void t.test('who asks is told at once', (test) => {
  const { files, key } = watch(test)
  writeFileSync(key, second.key)
  files.look(true)
  test.match(files.problem, /cannot be used/)
  test.end()
})

void t.test('a certificate that has ended takes the place of no good one', (test) => {
  const { files, cert, key } = watch(test)
  const { current } = files
  writeFileSync(cert, expired.cert)
  writeFileSync(key, expired.key)
  files.look(true)
  test.equal(files.current, current)
  test.match(files.problem, /has expired already/)
  const already = watch(test, expired)
  writeFileSync(already.key, expired.key)
  already.files.look(true)
  test.equal(already.files.problem, null, 'but of one that has ended, too')
  test.end()
})

void t.test('a certificate whose time is yet to come is taken when it has come', (test) => {
  let lateMs = 0
  const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + lateMs }
  const { files, cert, key, errors } = watch(test, first, clock)
  const { current } = files
  writeFileSync(cert, early.cert)
  writeFileSync(key, early.key)
  for (let looks = 0; looks < 5; looks += 1) files.look()
  test.equal(files.current, current)
  test.match(files.problem, /the new certificate is not valid before .* GMT$/)
  test.equal(errors.length, 1, 'told once')
  lateMs = 2 * hourMs
  files.look()
  test.not(files.current, current)
  test.equal(files.problem, null)
  test.end()
})

void t.test('a folder swapped by a symbolic link, as Kubernetes does', (test) => {
  const folder = test.testdir({
    one: { 'tls.crt': first.cert, 'tls.key': first.key },
    two: { 'tls.crt': second.cert, 'tls.key': second.key },
  })
  symlinkSync('one', join(folder, 'data'))
  const config = {
    mode: 'require',
    cert: join(folder, 'data', 'tls.crt'),
    key: join(folder, 'data', 'tls.key'),
  } as const
  const files = new TlsFiles({
    name: 'it',
    make: () => clientTls(config),
    files: clientTlsFiles(config),
    clock: systemClock,
    log: silentLog,
  })
  const { current } = files
  symlinkSync('two', join(folder, 'new'))
  renameSync(join(folder, 'new'), join(folder, 'data'))
  files.look()
  test.not(files.current, current)
  test.equal(files.problem, null)
  test.end()
})

void t.test('files without a certificate are refused, also as authorities', (test) => {
  const folder = test.testdir({
    empty: '',
    text: 'no PEM',
    key: first.key,
    cert: first.cert,
  })
  const at = (name: string): string => join(folder, name)
  const sides = { negotiation: 'postgres', channelBinding: 'prefer' } as const
  for (const name of ['empty', 'text', 'key']) {
    const ca = at(name)
    const wrong = { code: 'CONFIG_INVALID', message: new RegExp(`${name} holds no certificate$`) }
    test.throws(() => serverTls({ ...sides, mode: 'verify-full', ca }, 'db'), wrong)
    const pair = { cert: at('cert'), key: at('key') }
    test.throws(() => clientTls({ mode: 'require', ...pair, clientCa: ca }), wrong)
    test.throws(() => clientTls({ mode: 'require', ...pair, cert: ca }), wrong)
  }
  test.end()
})

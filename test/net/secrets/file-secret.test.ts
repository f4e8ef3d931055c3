/** A password in a file that others replace, in every way in which they do. */
import t from 'tap'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { FileSecret } from '../../../src/net/secrets/file-secret.ts'
import { silentLog } from '../../../src/shared/log.ts'

void t.test('written anew and renamed over', async (test) => {
  const folder = test.testdir({ pw: 'one\n' })
  const file = join(folder, 'pw')
  const secret = new FileSecret(file, silentLog)
  test.equal(await secret.get(), 'one')
  writeFileSync(file, 'two-longer')
  test.equal(await secret.get(), 'two-longer')
  writeFileSync(join(folder, 'next'), 'same-size!')
  renameSync(join(folder, 'next'), file)
  test.equal(await secret.get(), 'same-size!', 'of the same size, at the same time')
})

void t.test('swapped by a symbolic link, as Kubernetes does', async (test) => {
  const folder = test.testdir({})
  const version = (name: string, text: string): void => {
    mkdirSync(join(folder, name))
    writeFileSync(join(folder, name, 'password'), text)
  }
  version('..1', 'first')
  symlinkSync('..1', join(folder, '..data'))
  symlinkSync('..data/password', join(folder, 'password'))
  const secret = new FileSecret(join(folder, 'password'), silentLog)
  test.equal(await secret.get(), 'first')
  version('..2', 'other')
  symlinkSync('..2', join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  rmSync(join(folder, '..1'), { recursive: true })
  test.equal(await secret.get(), 'other')
})

void t.test('a file that is gone for a moment keeps its last password', async (test) => {
  const file = join(test.testdir({ pw: 'one' }), 'pw')
  const secret = new FileSecret(file, silentLog)
  test.equal(await secret.get(), 'one')
  rmSync(file)
  test.equal(await secret.get(), 'one')
  writeFileSync(file, '')
  test.equal(await secret.get(), 'one', 'an empty one is being written')
  writeFileSync(file, 'two')
  test.equal(await secret.get(), 'two')
})

void t.test('a refused password: what is in the file now, else what was before', async (test) => {
  const file = join(test.testdir({ pw: 'one' }), 'pw')
  const secret = new FileSecret(file, silentLog)
  await secret.get()
  test.equal(await secret.renew('one'), null, 'there is no other')
  writeFileSync(file, 'two')
  test.equal(await secret.renew('one'), 'two')
  test.equal(await secret.renew('two'), 'one', 'the server does not have the new one yet')
  test.equal(await secret.get(), 'two')
})

void t.test('what cannot be read is named, without its content', async (test) => {
  const folder = test.testdir({ empty: '\n', big: 'x'.repeat(65_537) })
  const get = (name: string): Promise<string> => new FileSecret(join(folder, name), silentLog).get()
  await test.rejects(get('none'), { code: 'SECRET_UNAVAILABLE', message: /none.*ENOENT/ })
  await test.rejects(get('empty'), { code: 'SECRET_UNAVAILABLE', message: /empty is empty/ })
  await test.rejects(get('big'), { code: 'SECRET_UNAVAILABLE', message: /too large/ })
})

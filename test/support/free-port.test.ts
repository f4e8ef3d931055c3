/** Ports that are found now and used later are nobody else's meanwhile. */
import { execFileSync } from 'node:child_process'
import t from 'tap'
import { freePort } from './free-port.ts'

await t.test('no port is found twice', async (test) => {
  const found = new Set<number>()
  for (let count = 0; count < 400; count += 1) found.add(await freePort())
  test.equal(found.size, 400)
})

await t.test('nor by another process', async (test) => {
  const port = await freePort()
  const bind = `require('node:dgram').createSocket('udp4')
    .on('error', ({ code }) => console.log(code))
    .bind({ port: ${port}, address: '127.0.0.1', exclusive: true }, function () { this.close() })`
  const said = execFileSync(process.execPath, ['-e', bind], { encoding: 'utf8' })
  test.equal(said, 'EADDRINUSE\n')
})

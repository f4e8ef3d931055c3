import t from 'tap'
import {
  formatListenAddress,
  isLoopback,
  isLoopbackHost,
  overlaps,
  parseListen,
  parseListenAddress,
  type ListenAddress,
} from '../../src/config/listen-address.ts'

void t.test('reads every form', async (test) => {
  test.strictSame(parseListenAddress('127.0.0.1:6432'), [tcp('127.0.0.1', 6432)])
  test.strictSame(parseListenAddress('0.0.0.0:0'), [tcp('0.0.0.0', 0)])
  test.strictSame(parseListenAddress('[::1]:6432'), [tcp('::1', 6432)])
  test.strictSame(parseListenAddress('[2001:DB8::1]:1'), [tcp('2001:db8::1', 1)])
  test.strictSame(parseListenAddress('Localhost:6432'), [
    tcp('127.0.0.1', 6432),
    { ...tcp('::1', 6432), optional: true },
  ])
  test.strictSame(parseListenAddress('/run/pontoon/.s.PGSQL.6432'), [
    { kind: 'unix', path: '/run/pontoon/.s.PGSQL.6432' },
  ])
  test.equal(parseListen(['localhost:1', '/s']).length, 3)
})

const wrong: readonly (readonly [text: string, hint: RegExp])[] = [
  ['', /expected address:port/],
  ['6432', /a port alone is not enough, write localhost:6432/],
  [':6432', /write 0\.0\.0\.0:6432 or \[::\]:6432/],
  ['db.internal:6432', /an IP address or `localhost`/],
  ['127.0.0.1', /expected address:port/],
  ['127.0.0.1:', /expected address:port/],
  ['127.0.0.1:65536', /at most 65535/],
  ['127.0.0.1:-1', /expected address:port/],
  ['999.0.0.1:1', /an IP address/],
  ['::1:6432', /stands in brackets/],
  ['::1', /stands in brackets/],
  ['[127.0.0.1]:1', /only an IPv6 address/],
  ['[::1]', /stands in brackets/],
  ['run/pontoon.sock', /starts with \//],
  ['/run/pontoon/', /full path of the socket, as in \/run\/pontoon\/\.s\.PGSQL\.6432/],
  [`/${'x'.repeat(107)}`, /at most 107 bytes/],
]

for (const [text, hint] of wrong) {
  void t.test(`refuses "${text.slice(0, 20)}"`, async (test) => {
    test.throws(() => parseListenAddress(text), { code: 'CONFIG_INVALID', message: hint })
  })
}

void t.test('prints what it reads', async (test) => {
  for (const text of ['127.0.0.1:6432', '[::1]:6432', '/run/x']) {
    test.equal(parseListenAddress(text).map((address) => formatListenAddress(address))[0], text)
  }
})

void t.test('knows what only this machine reaches', async (test) => {
  const loopback = ['127.0.0.1:1', '127.9.9.9:1', '[::1]:1', 'localhost:1', '/run/x']
  for (const text of loopback) test.ok(parseListenAddress(text).every(isLoopback), text)
  for (const text of ['0.0.0.0:1', '[::]:1', '10.0.0.1:1', '[::2]:1']) {
    test.notOk(parseListenAddress(text).some(isLoopback), text)
  }
  test.notOk(isLoopbackHost('127.evil.example'))
})

void t.test('knows which addresses cannot both be bound', async (test) => {
  const pairs: readonly (readonly [string, string, boolean])[] = [
    ['127.0.0.1:1', '127.0.0.1:1', true],
    ['127.0.0.1:1', '127.0.0.1:2', false],
    ['0.0.0.0:1', '127.0.0.1:1', true],
    ['127.0.0.1:1', '0.0.0.0:1', true],
    ['0.0.0.0:1', '[::1]:1', false],
    ['[::]:1', '[::1]:1', true],
    ['[::]:1', '127.0.0.1:1', false],
    ['127.0.0.1:0', '127.0.0.1:0', false],
    ['/a', '/a', true],
    ['/a', '/b', false],
    ['/a', '127.0.0.1:1', false],
  ]
  for (const [one, other, expected] of pairs) {
    test.equal(overlaps(only(one), only(other)), expected, `${one} and ${other}`)
  }
})

function only(text: string): ListenAddress {
  const [address] = parseListenAddress(text)
  if (address === undefined) throw new Error(text)
  return address
}

function tcp(host: string, port: number): ListenAddress {
  return { kind: 'tcp', host, port, optional: false }
}

/** Both ends of SCRAM against each other, and against what a hostile peer may send. */
import t from 'tap'
import * as fc from 'fast-check'
import { chooseMechanism } from '../../../src/net/pg/channel-binding.ts'
import { ScramClient } from '../../../src/net/pg/scram-client.ts'
import { ScramServer } from '../../../src/net/pg/scram-server.ts'
import type { ScramProof } from '../../../src/net/pg/scram-server.ts'
import { deriveKeys, makeScramVerifier, parseScramVerifier } from '../../../src/net/pg/scram.ts'
import type { ScramKeys } from '../../../src/net/pg/scram.ts'
import { PontoonError } from '../../../src/shared/errors.ts'

const plain = 'SCRAM-SHA-256'
const plus = 'SCRAM-SHA-256-PLUS'
const unbound = { gs2: 'n', data: Buffer.alloc(0) } as const
const seen = Buffer.alloc(32, 7)
const bound = { gs2: 'p=tls-server-end-point', data: seen } as const
const verifier = await makeScramVerifier('pässword')

async function dialogue(
  client: ScramClient,
  server: ScramServer,
  mechanism: string = plain,
): Promise<ScramProof | null> {
  const first = server.first(mechanism, client.first())
  const proof = server.final(await client.final(first))
  if (proof !== null) client.verify(proof.message)
  return proof
}

void t.test('a password, and the keys that it gives, prove a client', async (test) => {
  const proof = await dialogue(
    new ScramClient('pässword', unbound),
    new ScramServer(verifier, null),
  )
  test.not(proof, null)
  const keys = proof?.keys
  if (keys === undefined) return
  test.same(keys, await deriveKeys('pässword', verifier.salt, verifier.iterations))
  test.not(await dialogue(new ScramClient(keys, unbound), new ScramServer(verifier, null)), null)
  const other = await makeScramVerifier('pässword')
  await test.rejects(dialogue(new ScramClient(keys, unbound), new ScramServer(other, null)), {
    code: 'SERVER_AUTH_FAILED',
    message: /differs from the one that the server has/,
  })
  const forged: ScramKeys = { ...keys, clientKey: Buffer.alloc(32) }
  test.equal(
    await dialogue(new ScramClient(forged, unbound), new ScramServer(verifier, null)),
    null,
  )
})

void t.test('a wrong password, and a server that does not know it', async (test) => {
  const wrong = new ScramClient('password', unbound)
  test.equal(await dialogue(wrong, new ScramServer(verifier, null)), null)
  const client = new ScramClient('pässword', unbound)
  await client.final(new ScramServer(verifier, null).first(plain, client.first()))
  const forged = `v=${Buffer.alloc(32).toString('base64')}`
  test.throws(() => client.verify(forged), /does not know the password/)
  test.throws(() => client.verify('e=other-error'), PontoonError)
  test.throws(() => new ScramClient('x', unbound).verify(forged), PontoonError)
})

void t.test('the channel binding header differs: biws, eSws, and the data itself', async (test) => {
  test.equal(await channelOf(unbound), 'biws')
  test.equal(await channelOf({ ...unbound, gs2: 'y' }), 'eSws')
  const expected = Buffer.concat([Buffer.from('p=tls-server-end-point,,'), seen])
  test.equal(await channelOf(bound), expected.toString('base64'))
})

void t.test('binds, and finds out who stands in between', async (test) => {
  const server = (): ScramServer => new ScramServer(verifier, seen)
  test.not(await dialogue(new ScramClient('pässword', bound), server(), plus), null)
  const elsewhere = { ...bound, data: Buffer.alloc(32, 8) }
  await test.rejects(dialogue(new ScramClient('pässword', elsewhere), server(), plus), {
    code: 'CLIENT_AUTH_FAILED',
    message: 'SCRAM channel binding check failed',
  })
  test.not(await dialogue(new ScramClient('pässword', unbound), server()), null, 'need not bind')
  const robbed = new ScramClient('pässword', { ...unbound, gs2: 'y' })
  await test.rejects(dialogue(robbed, server()), /thinks the server does not/)
  const cases = [
    [plus, 'n,,n=,r=abc', /did not bind/],
    [plain, 'p=tls-server-end-point,,n=,r=abc', /without SCRAM-SHA-256-PLUS/],
    [plus, 'p=tls-unique,,n=,r=abc', /unsupported SCRAM channel-binding type/],
    ['SCRAM-SHA-1', 'n,,n=,r=abc', /invalid SASL/],
  ] as const
  for (const [mechanism, first, words] of cases)
    test.throws(() => server().first(mechanism, first), words)
  const without = new ScramServer(verifier, null)
  test.throws(() => without.first(plus, 'p=tls-server-end-point,,n=,r=abc'), /invalid SASL/)
})

void t.test('a hostile peer gets an error, whatever it sends', async (test) => {
  const attribute = fc.tuple(
    fc.constantFrom('n', 'r', 's', 'i', 'c', 'p', 'v', 'm', ''),
    fc.string(),
  )
  const message = fc.oneof(
    fc.string({ maxLength: 6_000 }),
    fc.array(attribute).map((list) => list.map(([key, value]) => `${key}=${value}`).join(',')),
  )
  await fc.assert(
    fc.asyncProperty(
      message,
      message,
      fc.constantFrom('', 'n,,', 'y,,', 'p=x,,'),
      async (one, two, gs2) => {
        const server = new ScramServer(verifier, seen)
        test.ok(await onlyOurs(() => server.first(plain, gs2 + one)))
        test.ok(await onlyOurs(() => server.final(two)))
        const client = new ScramClient('x', unbound)
        const nonce = client.first().slice('n,,n=,'.length)
        test.ok(await onlyOurs(() => client.final(rounds(one))))
        test.ok(await onlyOurs(() => client.final(rounds(`${nonce}x,${two}`))))
        test.ok(await onlyOurs(() => client.verify(two)))
        const mechanisms = one.split(',')
        test.ok(await onlyOurs(() => chooseMechanism('prefer', mechanisms, Buffer.from(two), 'db')))
        parseScramVerifier(`SCRAM-SHA-256$${one}`)
      },
    ),
    { numRuns: 200 },
  )
})

void t.test(
  'CVE-2026-6664: rounds, salt and nonce of a hostile server are bounded',
  async (test) => {
    const cases = ['i=1000001', 'i=0', 'i=-1', 'i=1e3e', 'i=NaN', 'i=4096.5'] as const
    for (const count of cases) {
      const client = new ScramClient('x', unbound)
      const nonce = client.first().slice('n,,n=,'.length)
      await test.rejects(client.final(`${nonce}x,s=c2FsdA==,${count}`), {
        code: 'SERVER_PROTOCOL',
        message: /iteration count/,
      })
    }
    const client = new ScramClient('x', unbound)
    const nonce = client.first().slice('n,,n=,'.length)
    await test.rejects(client.final(`${nonce}x,s=,i=1`), /no salt/)
    await test.rejects(client.final(`${nonce},s=c2FsdA==,i=1`), /nonce/)
    await test.rejects(client.final('r=other,s=c2FsdA==,i=1'), /nonce/)
    await test.rejects(client.final(`${nonce}${'x'.repeat(4_096)},s=c2FsdA==,i=1`), /too long/)
  },
)

/** What the client sends in `c`. */
async function channelOf(
  choice: ConstructorParameters<typeof ScramClient>[1],
): Promise<string | undefined> {
  const client = new ScramClient('pässword', choice)
  const nonce = /r=(.*)$/.exec(client.first())?.[1] ?? ''
  const final = await client.final(`r=${nonce}more,s=c2FsdA==,i=1`)
  return /^c=([^,]*),/.exec(final)?.[1]
}

/** Whether it ends well or with an error of the table, other than a bug. */
async function onlyOurs(run: () => unknown): Promise<boolean> {
  try {
    await run()
    return true
  } catch (error) {
    return error instanceof PontoonError && error.code !== 'INTERNAL'
  }
}

/** They are bounded, but a million of them are no fuel for a fuzzer. */
function rounds(text: string): string {
  return text.replaceAll(/i=(\d{4,})/g, 'i=1')
}

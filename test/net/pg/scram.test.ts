/** Both ends of SCRAM-SHA-256 against each other, against the RFC, and against what is malformed. */
import t from 'tap'
import { md5Response, md5Verifier } from '../../../src/net/pg/md5.ts'
import { ScramClient } from '../../../src/net/pg/scram-client.ts'
import { ScramServer } from '../../../src/net/pg/scram-server.ts'
import {
  deriveKeys,
  hmac,
  makeScramVerifier,
  parseScramVerifier,
  sha256,
  xor,
} from '../../../src/net/pg/scram.ts'

const unbound = { gs2: 'n', data: Buffer.alloc(0) } as const
const mechanism = 'SCRAM-SHA-256'
const clientError = { name: 'PontoonError', code: 'CLIENT_PROTOCOL' }
const serverError = { name: 'PontoonError', code: 'SERVER_PROTOCOL' }

void t.test('the keys are those of RFC 7677', async (test) => {
  // Section 3: user `user`, password `pencil`.
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  const keys = await deriveKeys('pencil', salt, 4_096)
  const authMessage = [
    'n=user,r=rOprNGfwEbeRWgbNEkqO',
    'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096',
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0',
  ].join(',')
  const proof = xor(keys.clientKey, hmac(sha256(keys.clientKey), authMessage))
  test.equal(proof.toString('base64'), 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=')
  const signature = hmac(keys.serverKey, authMessage)
  test.equal(signature.toString('base64'), '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')
})

/** One dialogue; the server's last word, or null when the proof was wrong. */
async function talk(client: ScramClient, server: ScramServer): Promise<string | null> {
  const serverFirst = server.first(mechanism, client.first())
  const proof = server.final(await client.final(serverFirst))
  if (proof === null) return null
  client.verify(proof.message)
  return proof.message
}

void t.test('the right password, and the wrong one', async (test) => {
  const verifier = await makeScramVerifier('sécret ½')
  const outcome = (password: string): Promise<string | null> =>
    talk(new ScramClient(password, unbound), new ScramServer(verifier, null))
  test.ok(await outcome('sécret ½'))
  test.equal(await outcome('secret'), null)
  test.equal(await outcome(''), null)
})

void t.test('passwords that SASLprep refuses are used as they are', async (test) => {
  const odd = 'bell \u0007 and \ud800'
  const verifier = await makeScramVerifier(odd)
  test.ok(await talk(new ScramClient(odd, unbound), new ScramServer(verifier, null)))
})

void t.test('a server that does not know the password is found out', async (test) => {
  const client = new ScramClient('secret', unbound)
  const server = new ScramServer(await makeScramVerifier('secret'), null)
  await client.final(server.first(mechanism, client.first()))
  for (const last of [`v=${Buffer.alloc(32).toString('base64')}`, 'v=', 'v=AAAA', 'e=other-error'])
    test.throws(() => client.verify(last), { code: 'SERVER_AUTH_FAILED' }, last)
  test.throws(() => client.verify('nothing'), serverError)
  test.throws(() => new ScramClient('secret', unbound).verify('v='), { code: 'SERVER_AUTH_FAILED' })
})

void t.test('what a server may not say first', async (test) => {
  const answers: Readonly<Record<string, (mine: string) => string>> = {
    nothing: () => '',
    'another nonce': () => 'r=other,s=c2FsdA==,i=4096',
    'our nonce and no more': (mine) => `r=${mine},s=c2FsdA==,i=4096`,
    'no salt': (mine) => `r=${mine}x,s=,i=4096`,
    'no iterations': (mine) => `r=${mine}x,s=c2FsdA==`,
    'zero iterations': (mine) => `r=${mine}x,s=c2FsdA==,i=0`,
    'a billion iterations': (mine) => `r=${mine}x,s=c2FsdA==,i=1000000000`,
    'no number of iterations': (mine) => `r=${mine}x,s=c2FsdA==,i=many`,
    'a hexadecimal number': (mine) => `r=${mine}x,s=c2FsdA==,i=0x10`,
    'a number with a space': (mine) => `r=${mine}x,s=c2FsdA==,i= 16`,
    'a salt that is no base64': (mine) => `r=${mine}x,s=c2Fs*A==,i=4096`,
    'a salt cut short': (mine) => `r=${mine}x,s=c2FsdA=,i=4096`,
    'a nonce with a control character': (mine) => `r=${mine}\u0001,s=c2FsdA==,i=4096`,
    'a nonce that is not ASCII': (mine) => `r=${mine}é,s=c2FsdA==,i=4096`,
    'another order': (mine) => `s=c2FsdA==,r=${mine}x,i=4096`,
    'an extension that must be known': (mine) => `m=x,r=${mine}x,s=c2FsdA==,i=4096`,
    'an attribute twice': (mine) => `r=${mine}x,r=${mine}x,s=c2FsdA==,i=4096`,
    'an attribute without a value': (mine) => `r=${mine}x,s,i=4096`,
    'too much': (mine) => `r=${mine}${'x'.repeat(10_000)},s=c2FsdA==,i=4096`,
  }
  for (const [name, answer] of Object.entries(answers)) {
    const client = new ScramClient('secret', unbound)
    await test.rejects(
      client.final(answer(client.first().replace(/^n,,n=,r=/, ''))),
      serverError,
      name,
    )
  }
})

void t.test('what a client may not say', async (test) => {
  const verifier = await makeScramVerifier('secret')
  const firsts = [
    '',
    'n,,',
    'n,,n=,r=',
    'n,,r=abc',
    'x,,n=,r=abc',
    'n,a=admin,n=,r=abc',
    'n,,m=ext,n=,r=abc',
    'n,,n=,r=abc,r=def',
    'n,,r=abc,n=',
    'n,,n=,r=abc,m=ext',
    'n,,n=,r=a\u0001b',
    'n,,n=,r=é',
    'p=tls-unique,,n=,r=abc',
    `n,,n=,r=${'a'.repeat(5_000)}`,
  ]
  for (const first of firsts) {
    const server = new ScramServer(verifier, null)
    test.throws(() => server.first(mechanism, first), clientError, first.slice(0, 30))
  }
  test.throws(() => new ScramServer(verifier, null).first('PLAIN', 'n,,n=,r=abc'), clientError)

  const begun = async (): Promise<{ server: ScramServer; final: string }> => {
    const server = new ScramServer(verifier, null)
    const client = new ScramClient('secret', unbound)
    return { server, final: await client.final(server.first(mechanism, client.first())) }
  }
  const changes: Readonly<Record<string, (final: string) => string>> = {
    nothing: () => '',
    'no proof': (final) => final.replace(/,p=.*/, ''),
    'a proof that is no base64': (final) => final.replace(/.{4}$/, '****'),
    'a proof with more behind it': (final) => `${final} `,
    'another order': (final) => final.replace(/^(c=[^,]*),(r=[^,]*)/, '$2,$1'),
    'an attribute ahead': (final) => `x=y,${final}`,
    'a short proof': (final) => final.replace(/,p=.*/, ',p=AAAA'),
    'another nonce': (final) => final.replace(/r=/, 'r=x'),
    'the nonce cut off': (final) => final.replace(/r=[^,]*/, 'r='),
  }
  for (const [name, change] of Object.entries(changes)) {
    const { server, final } = await begun()
    test.throws(() => server.final(change(final)), clientError, name)
  }
  const { server, final } = await begun()
  test.throws(() => server.final(final.replace('c=biws', 'c=eSws')), {
    code: 'CLIENT_AUTH_FAILED',
  })
  const other = await begun()
  const zeroProof = final.replace(/,p=.*/, `,p=${Buffer.alloc(32).toString('base64')}`)
  test.throws(() => other.server.final(zeroProof), clientError, "another dialogue's words")
})

const key = (bytes: number): string => Buffer.alloc(bytes, 1).toString('base64')

void t.test('verifiers as pg_authid has them', (test) => {
  const text = `SCRAM-SHA-256$4096:c2FsdA==$${Buffer.alloc(32, 1).toString('base64')}:${Buffer.alloc(32, 2).toString('base64')}`
  test.match(parseScramVerifier(text), { iterations: 4_096, salt: Buffer.from('salt') })
  for (const wrong of [
    `SCRAM-SHA-256$0:c2FsdA==$${key(32)}:${key(32)}`,
    `SCRAM-SHA-256$4096:c2FsdA=$${key(32)}:${key(32)}`,
    `SCRAM-SHA-256$4096:c2FsdA==$${key(31)}:${key(32)}`,
    `SCRAM-SHA-256$4096:c2FsdA==$${key(32)}:${key(33)}`,
    'SCRAM-SHA-256$4096:AA==$AA==:AA==',
  ])
    test.equal(parseScramVerifier(wrong), null, wrong)
  for (const wrong of ['', 'secret', 'SCRAM-SHA-256$', 'SCRAM-SHA-1$1:a$b:c', `${text}:x`])
    test.equal(parseScramVerifier(wrong), null)
  test.end()
})

void t.test('md5 as the server computes it', (test) => {
  // SELECT 'md5' || md5('secret' || 'anna')
  test.equal(md5Verifier('anna', 'secret'), 'md53671d1c06464e8ec9d68bf36dd1d5f7e')
  const verifier = md5Verifier('anna', 'secret')
  test.match(md5Response(verifier, Buffer.from([1, 2, 3, 4])), /^md5[0-9a-f]{32}$/)
  test.not(
    md5Response(verifier, Buffer.from([1, 2, 3, 5])),
    md5Response(verifier, Buffer.from([1, 2, 3, 4])),
  )
  test.end()
})

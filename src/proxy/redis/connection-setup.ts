/**
 * What a client has made of a server of its own that can be made of another one as well: who it is,
 * its database, version of the protocol and name. Kept as the commands that did it, the latest of
 * each kind, in their order; one that the server refuses has done nothing.
 */
import { wordsOf } from '../../wire/redis/arguments.ts'
import { readHello } from './hello.ts'

const repeatable = /^(?:auth|hello|select|client\|set(?:name|info))$/

/** About the connection, and leaves nothing on it. */
const traceless = /^client\|(?:id|info|list|kill|getname|unblock|help)$/

/** Carried out one after the other, so a refusal of the second leaves the first. */
const ofTwoSteps = /^hello .11$/

interface Asked {
  readonly kind: string
  readonly name: string
  readonly request: Buffer
}

export class ConnectionSetup {
  readonly #requests = new Map<string, readonly [name: string, request: Buffer]>()
  /** Sent and not answered yet, in their order. */
  readonly #asked: Asked[] = []

  /** Of what is on the server, or may be. */
  get size(): number {
    return this.#requests.size + this.#asked.length
  }

  /** It is sent. False for what cannot be made again elsewhere. The request is kept as it is. */
  ask(name: string, request: Buffer): boolean {
    if (!repeatable.test(name)) return traceless.test(name)
    const kind = kindOf(name, wordsOf(request))
    if (kind === null) return false
    this.#asked.push({ kind, name, request })
    return true
  }

  /** A command of that name was answered. False when nobody can tell what it has left. */
  answered(name: string, isRefused: boolean): boolean {
    const first = this.#asked[0]
    if (first?.name !== name) return true
    this.#asked.shift()
    const { kind, request } = first
    if (isRefused) return !ofTwoSteps.test(kind)
    this.#requests.delete(kind)
    this.#requests.set(kind, [name, request])
    return true
  }

  clear(): void {
    this.#requests.clear()
    this.#asked.length = 0
  }

  requests(): readonly (readonly [name: string, request: Buffer])[] {
    return [...this.#requests.values()]
  }
}

/** Null for what is not known to be one of a few: there would be no end of kinds. */
function kindOf(name: string, words: readonly Buffer[]): string | null {
  if (name === 'hello') return kindOfHello(words)
  if (name !== 'client|setinfo') return name
  const attribute = words[2]?.toString('latin1').toLowerCase() ?? ''
  return /^lib-(?:name|ver)$/.test(attribute) ? attribute : null
}

/** What a later one does not name stays as an earlier one has made it. Null where it is not understood. */
function kindOfHello(words: readonly Buffer[]): string | null {
  const { version, login, name, error } = readHello(words)
  if (error !== null) return null
  const parts = [version !== null, login !== null, name !== null]
  return `hello ${parts.map(Number).join('')}`
}

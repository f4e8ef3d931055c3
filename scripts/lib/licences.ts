/**
 * The licences of what users install with Pontoon, from the lock file, held to a list of those that
 * ask for no more than their notice. Neighbour: ../supply-chain.ts.
 */
import { z } from 'zod'

/** Permissive ones, by SPDX identifier. Another one needs a person who has read it. */
const permissive = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'PostgreSQL',
  'Unlicense',
  'Zlib',
])

const lockFile = z.object({
  packages: z.record(
    z.string(),
    z.object({
      version: z.string().optional(),
      license: z.string().optional(),
      dev: z.boolean().optional(),
      integrity: z.string().optional(),
    }),
  ),
})

export interface Dependency {
  readonly name: string
  readonly version: string
  /** SPDX expression; '' when its author names none. */
  readonly licence: string
  readonly integrity: string | undefined
}

/** What is installed without development dependencies, each name and version once. */
export function productionDependencies(lockText: string): readonly Dependency[] {
  const { packages } = lockFile.parse(JSON.parse(lockText))
  const all = Object.entries(packages)
    .filter(([path, one]) => path !== '' && one.dev !== true)
    .map(([path, { version = '', license: licence = '', integrity }]) => ({
      name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
      version,
      licence,
      integrity,
    }))
  return [...new Map(all.map((one) => [`${one.name}@${one.version}`, one])).values()]
}

export function isPermissive(expression: string): boolean {
  return new Expression(expression).read()
}

/** SPDX: OR needs one, AND needs both and binds tighter, WITH only adds permissions. */
class Expression {
  readonly #words: string[]

  constructor(text: string) {
    this.#words = text.match(/[()]|[^\s()]+/g) ?? []
  }

  /** False for anything that is not understood to its end. */
  read(): boolean {
    return this.#or() && this.#words.length === 0
  }

  #or(): boolean {
    let good = this.#and()
    while (this.#take('OR')) good = this.#and() || good
    return good
  }

  #and(): boolean {
    let good = this.#one()
    while (this.#take('AND')) good = this.#one() && good
    return good
  }

  #one(): boolean {
    if (this.#take('(')) {
      const good = this.#or()
      return this.#take(')') && good
    }
    const good = permissive.has(this.#words.shift() ?? '')
    if (this.#take('WITH')) this.#words.shift()
    return good
  }

  #take(word: string): boolean {
    if (this.#words[0] !== word) return false
    this.#words.shift()
    return true
  }
}

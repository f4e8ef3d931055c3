/**
 * Reads a YAML file into a plain tree that remembers on which line each key and value stands.
 * Overlays, substitution and the messages about mistakes work on this tree (overlay.ts,
 * resolve.ts, load.ts).
 *
 * `${NAME}` has a brace, which YAML reserves inside `{ … }`: `{ secret: ${TOKEN} }` is no YAML.
 * So the braces of placeholders are veiled before parsing, one character for one, which keeps all
 * positions, and unveiled in the strings that come out.
 */
import { readFileSync } from 'node:fs'
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Document } from 'yaml'
import { ConfigError, type Mistake, type Origin } from './mistake.ts'

export type Scalar = string | number | boolean | null

export interface ScalarNode {
  readonly kind: 'scalar'
  readonly origin: Origin
  readonly value: Scalar
  /** Variables or the secret file that the value came from; such a value is not shown. */
  readonly from?: string
}

export interface ListNode {
  readonly kind: 'list'
  readonly origin: Origin
  readonly items: readonly ConfigNode[]
}

export interface MapNode {
  readonly kind: 'map'
  readonly origin: Origin
  readonly entries: ReadonlyMap<string, MapEntry>
}

export interface MapEntry {
  readonly keyOrigin: Origin
  readonly value: ConfigNode
}

export type ConfigNode = ScalarNode | ListNode | MapNode

/** Aliases can multiply what a short file means; no honest file comes near these. */
const nodesMax = 100_000
const depthMax = 64
const fileBytesMax = 4 * 1_048_576

const placeholder = /\$\{[A-Za-z_][A-Za-z0-9_]*(?::-[^}\n]*)?\}/g
const veilOffset = 0xe000
const veiled = /\$\ue07b[^\ue07d]*\ue07d/g

/** Throws ConfigError, CONFIG_UNREADABLE, with every syntax error of the file. */
export function readYamlFile(file: string): MapNode {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw unreadable(file, [{ line: 0, message: `cannot be read: ${reason}` }])
  }
  return parseYaml(text, file)
}

export function parseYaml(text: string, file: string): MapNode {
  if (text.length > fileBytesMax) {
    throw unreadable(file, [{ line: 0, message: `is larger than ${fileBytesMax} bytes` }])
  }
  const lines = new LineCounter()
  const document = parseDocument(veil(text), {
    lineCounter: lines,
    prettyErrors: false,
    strict: true,
    uniqueKeys: true,
  })
  const problems = [...document.errors, ...document.warnings]
  if (problems.length > 0) {
    throw unreadable(
      file,
      problems.map(({ pos, message }) => ({
        line: lines.linePos(pos[0]).line,
        message: unveil(message),
      })),
    )
  }
  const root = new TreeBuilder(document, lines, file).root()
  if (root.kind === 'map') return root
  if (root.kind === 'scalar' && root.value === null) {
    return { kind: 'map', origin: { file, line: 1 }, entries: new Map() }
  }
  throw unreadable(file, [{ line: 1, message: 'expected a mapping of keys to values' }])
}

class TreeBuilder {
  readonly #document: Document.Parsed
  readonly #lines: LineCounter
  readonly #file: string
  #nodes = 0

  constructor(document: Document.Parsed, lines: LineCounter, file: string) {
    this.#document = document
    this.#lines = lines
    this.#file = file
  }

  root(): ConfigNode {
    return this.#build(this.#document.contents, 0, { file: this.#file, line: 1 })
  }

  #build(node: unknown, depth: number, parent: Origin): ConfigNode {
    const origin = this.#originOf(node) ?? parent
    this.#nodes += 1
    if (this.#nodes > nodesMax || depth > depthMax) {
      throw unreadable(this.#file, [
        { line: origin.line, message: 'is nested or aliased too deep' },
      ])
    }
    if (isAlias(node)) return this.#build(node.resolve(this.#document), depth + 1, origin)
    if (isSeq(node)) {
      const items = node.items.map((item) => this.#build(item, depth + 1, origin))
      return { kind: 'list', origin, items }
    }
    if (isMap(node)) return this.#buildMap(node.items, depth, origin)
    const value = isScalar(node) ? node.value : null
    if (typeof value === 'string') return { kind: 'scalar', origin, value: unveil(value) }
    const plain = typeof value === 'number' || typeof value === 'boolean' ? value : null
    return { kind: 'scalar', origin, value: plain }
  }

  #buildMap(
    pairs: readonly { readonly key: unknown; readonly value: unknown }[],
    depth: number,
    origin: Origin,
  ): MapNode {
    const entries = new Map<string, MapEntry>()
    const merged: ConfigNode[] = []
    for (const { key, value } of pairs) {
      const keyOrigin = this.#originOf(key) ?? origin
      const name = isScalar(key) ? unveil(String(key.value)) : ''
      // Not even as an own property would it get through every library.
      if (name === '__proto__') {
        throw unreadable(this.#file, [{ line: keyOrigin.line, message: '__proto__ is no name' }])
      }
      const built = this.#build(value, depth + 1, keyOrigin)
      if (name === '<<') merged.push(...(built.kind === 'list' ? built.items : [built]))
      else entries.set(name, { keyOrigin, value: built })
    }
    // The merge key of YAML 1.1: what the mapping says itself counts, then the earlier merged one.
    for (const node of merged) {
      if (node.kind !== 'map') continue
      for (const [name, entry] of node.entries) if (!entries.has(name)) entries.set(name, entry)
    }
    return { kind: 'map', origin, entries }
  }

  #originOf(node: unknown): Origin | undefined {
    if (!isScalar(node) && !isMap(node) && !isSeq(node) && !isAlias(node)) return undefined
    const start = node.range?.[0]
    if (start === undefined) return undefined
    return { file: this.#file, line: this.#lines.linePos(start).line }
  }
}

function veil(text: string): string {
  return text.replace(placeholder, (match) => `$${shift(match.slice(1), veilOffset)}`)
}

function unveil(text: string): string {
  return text.replace(veiled, (match) => `$${shift(match.slice(1), -veilOffset)}`)
}

/** Moves the ASCII characters into the private use area and back; others stay. */
function shift(text: string, offset: number): string {
  return text.replace(/[\x20-\x7e\ue020-\ue07e]/g, (character) =>
    String.fromCharCode(character.charCodeAt(0) + offset),
  )
}

function unreadable(
  file: string,
  problems: readonly { readonly line: number; readonly message: string }[],
): ConfigError {
  const mistakes = problems.map(({ line, message }): Mistake => ({
    code: 'CONFIG_UNREADABLE',
    origin: { file, line },
    path: [],
    message,
  }))
  return new ConfigError(mistakes)
}

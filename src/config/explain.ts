/** Says in plain words what the schema found wrong; never shows a secret or an environment value. */
import type { z } from 'zod'
import type { Path } from './mistake.ts'
import { nearest } from './nearest.ts'
import { isSecret, knownKeys, modelAt, rotates } from './schema-model.ts'
import { nodeAt } from './tree-paths.ts'
import type { ConfigNode } from './yaml-tree.ts'

export interface Explanation {
  readonly path: Path
  readonly message: string
}

type Issue = z.core.$ZodIssue

function asStep(step: PropertyKey): string | number {
  return typeof step === 'number' ? step : String(step)
}

export function explain(issue: Issue, root: ConfigNode): readonly Explanation[] {
  const path = issue.path.map(asStep)
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: unknownKey(path, key) }))
  }
  if (nodeAt(root, path) === undefined) {
    const meaning = modelAt(path)?.description
    return [{ path, message: `is missing${meaning === undefined ? '' : `: ${meaning}`}` }]
  }
  if (issue.code === 'invalid_union' && rotates(modelAt(path)))
    return secretProblems(issue, path, root)
  return [{ path, message: problem(issue, foundAt(root, path)) }]
}

/** What is wrong with the alternative that was meant; secret-source.ts has seen to its keys. */
function secretProblems(
  issue: Extract<Issue, { code: 'invalid_union' }>,
  path: Path,
  root: ConfigNode,
): readonly Explanation[] {
  const node = nodeAt(root, path)
  const isMap = node?.kind === 'map'
  const meant = !isMap ? 0 : node.entries.has('secretsManager') ? 2 : 1
  const issues = issue.errors[meant] ?? []
  return issues.flatMap((inner) => explain({ ...inner, path: [...path, ...inner.path] }, root))
}

function problem(issue: Issue, found: Found): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${typeNames[issue.expected] ?? issue.expected}, found ${found.text}${hint(issue.expected, found)}`
    case 'invalid_value':
      return oneOf(issue.values.map(String), found)
    case 'too_small':
      if (issue.origin === 'string') return 'is empty'
      if (issue.origin === 'array') return 'expected at least one entry'
      return `expected at least ${issue.minimum}, found ${found.text}`
    case 'too_big':
      return `expected at most ${issue.maximum}, found ${found.text}`
    case 'invalid_union':
      // Of services there are several kinds, told apart by one of their values.
      if (issue.errors.length === 0)
        return oneOf((modelAt(issue.path.map(asStep))?.enum ?? []).map(String), found)
      return `expected text or a list of text, found ${found.text}`
    case 'invalid_key':
      return 'is no valid name: lower-case letters, digits and dashes, a letter first, 63 at most'
    default:
      return issue.message
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a mapping of keys to values',
  record: 'a mapping of names to values',
  array: 'a list',
}

function oneOf(values: readonly string[], found: Found): string {
  const expected = values.length === 1 ? values[0] : `one of ${values.join(', ')}`
  const meant = found.shown === undefined ? undefined : nearest(found.shown, values)
  const suggestion = meant === undefined ? '' : `; did you mean ${meant}?`
  return `expected ${expected}, found ${found.text}${suggestion}`
}

function unknownKey(parent: Path, key: string): string {
  const known = knownKeys(modelAt(parent))
  const meant = nearest(key, known)
  if (meant !== undefined) return `unknown key; did you mean ${meant}?`
  return `unknown key; known here: ${known.join(', ')}`
}

/** Where YAML reads digits or true as something else than the text that was meant. */
function hint(expected: string, found: Found): string {
  if (found.kind === 'nothing') return '; give it a value or leave the key out'
  const readAsOther = found.kind === 'number' || found.kind === 'boolean'
  return expected === 'string' && readAsOther ? '; put it in quotes' : ''
}

interface Found {
  readonly kind: 'text' | 'number' | 'boolean' | 'nothing' | 'list' | 'mapping'
  readonly text: string
  /** The text itself, where it may be shown. */
  readonly shown?: string
}

function foundAt(root: ConfigNode, path: Path): Found {
  const node = nodeAt(root, path)
  if (node === undefined) return { kind: 'nothing', text: 'nothing' }
  if (node.kind === 'list') return { kind: 'list', text: 'a list' }
  if (node.kind === 'map') return { kind: 'mapping', text: 'a mapping' }
  const { value, from } = node
  if (value === null) return { kind: 'nothing', text: 'nothing' }
  const kind = typeof value === 'string' ? 'text' : typeof value === 'number' ? 'number' : 'boolean'
  if (from !== undefined) return { kind, text: `${kind} from ${from}` }
  if (isSecret(modelAt(path))) return { kind, text: `a ${kind}` }
  if (typeof value !== 'string') return { kind, text: String(value), shown: String(value) }
  return { kind, text: `text ${JSON.stringify(value.slice(0, 80))}`, shown: value }
}

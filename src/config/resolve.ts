/**
 * Turns what a file says into the values that are meant, before validation: environment variables
 * are put in, secrets are read from their files, numbers that came from the environment become
 * numbers, and relative paths count from the folder of the file that names them.
 */
import { readFileSync, statSync } from 'node:fs'
import { dirname, isAbsolute, resolve } from 'node:path'
import { systemErrorCode } from '../shared/system-error.ts'
import { isWithin, type Mistake, type MistakeCode, type Origin, type Path } from './mistake.ts'
import {
  childModel,
  configModel,
  isBoolean,
  isFilePath,
  isNumber,
  isSecret,
  rotates,
  type ModelNode,
} from './schema-model.ts'
import { secretShape } from './secret-source.ts'
import { substitute } from './substitute.ts'
import type { ConfigNode, MapEntry, MapNode, ScalarNode } from './yaml-tree.ts'

/** The bundled CAs of Amazon RDS, where a file of CAs is expected. */
const bundledCas = 'aws-rds'
const secretBytesMax = 65_536

export interface Resolved {
  readonly root: MapNode
  readonly mistakes: readonly Mistake[]
}

export function resolveValues(root: MapNode, env: NodeJS.ProcessEnv): Resolved {
  const resolver = new Resolver(env)
  return { root: resolver.map(root, configModel, []), mistakes: resolver.mistakes }
}

class Resolver {
  readonly mistakes: Mistake[] = []
  readonly #env: NodeJS.ProcessEnv

  constructor(env: NodeJS.ProcessEnv) {
    this.#env = env
  }

  map(node: MapNode, model: ModelNode | undefined, path: Path): MapNode {
    const entries = new Map<string, MapEntry>()
    for (const [name, entry] of node.entries) {
      const child = model === undefined ? undefined : childModel(model, name)
      const value = this.#node(entry.value, child, [...path, name])
      entries.set(name, { ...entry, value })
    }
    return { ...node, entries }
  }

  #node(node: ConfigNode, model: ModelNode | undefined, path: Path): ConfigNode {
    if (node.kind === 'scalar') return this.#scalar(node, model, path)
    if (node.kind === 'map') {
      return isSecret(model) ? this.#secret(node, model, path) : this.map(node, model, path)
    }
    const items = node.items.map((item, index) => {
      const child = model === undefined ? undefined : childModel(model, index)
      return this.#node(item, child, [...path, index])
    })
    return { ...node, items }
  }

  #scalar(node: ScalarNode, model: ModelNode | undefined, path: Path): ScalarNode {
    if (typeof node.value !== 'string') return node
    const { text, names, missing, malformed, whole } = substitute(node.value, this.#env)
    for (const name of missing) {
      const message = `environment variable ${name} is not set`
      this.#report('CONFIG_ENV_MISSING', node.origin, path, message)
    }
    for (const wrong of malformed) {
      const message = `${wrong} is no placeholder: write \${NAME}, or $$ for a single $`
      this.#report('CONFIG_INVALID', node.origin, path, message)
    }
    const from = names.length > 0 ? { from: names.map((name) => `\${${name}}`).join(', ') } : {}
    const value = whole ? coerce(text, model) : text
    if (typeof value !== 'string' || !isFilePath(model)) return { ...node, ...from, value }
    return { ...node, ...from, value: resolvedPath(value, node.origin) }
  }

  /**
   * A mapping in the place of a secret. A file is read now, so that a missing one shows at the
   * start; where the value may change later, the mapping stays and says where to look again.
   */
  #secret(node: MapNode, model: ModelNode | undefined, path: Path): ConfigNode {
    const nothing: ScalarNode = { kind: 'scalar', origin: node.origin, value: '', from: 'a file' }
    const wrong = secretShape(node, rotates(model))
    if (wrong !== null) {
      const at = wrong.key === undefined ? path : [...path, wrong.key]
      this.#report('CONFIG_INVALID', node.origin, at, wrong.message)
      // Not empty, or the schema would report that as well.
      return { ...nothing, value: '?' }
    }
    const entry = node.entries.get('file')
    const resolved = rotates(model) ? this.map(node, model, path) : nothing
    if (entry === undefined) return resolved
    const value = this.#secretFile(entry, nothing, path)
    return rotates(model) ? resolved : value
  }

  #secretFile(entry: MapEntry, nothing: ScalarNode, path: Path): ScalarNode {
    const at = [...path, 'file']
    const file = this.#node(entry.value, { type: 'string', 'x-path': true }, at)
    if (file.kind !== 'scalar' || typeof file.value !== 'string' || file.value === '') {
      this.#report('CONFIG_INVALID', entry.keyOrigin, at, 'expected the path of a file')
      return nothing
    }
    // The variable in the path was missing, which is reported already.
    if (this.mistakes.some((mistake) => isWithin(mistake.path, at))) return nothing
    return { ...nothing, value: this.#readSecret(file.value, entry.keyOrigin, path) }
  }

  #readSecret(file: string, origin: Origin, path: Path): string {
    let text: string
    try {
      if (statSync(file).size > secretBytesMax) {
        this.#report('CONFIG_INVALID', origin, path, `${file} is too large for a secret`)
        return ''
      }
      text = readFileSync(file, 'utf8')
    } catch (error) {
      const reason = systemErrorCode(error) === 'ENOENT' ? 'does not exist' : 'cannot be read'
      this.#report('CONFIG_ENV_MISSING', origin, path, `secret file ${file} ${reason}`)
      return ''
    }
    // Editors and `echo` end a file with a newline that is no part of the secret.
    const secret = text.replace(/\r?\n$/, '')
    if (secret === '') {
      this.#report('CONFIG_ENV_MISSING', origin, path, `secret file ${file} is empty`)
    }
    return secret
  }

  #report(code: MistakeCode, origin: Origin, path: Path, message: string): void {
    this.mistakes.push({ code, origin, path, message })
  }
}

function coerce(text: string, model: ModelNode | undefined): string | number | boolean {
  const trimmed = text.trim()
  if (isNumber(model) && /^-?\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed)
  if (isBoolean(model) && (trimmed === 'true' || trimmed === 'false')) return trimmed === 'true'
  return text
}

function resolvedPath(value: string, origin: Origin): string {
  if (value === '' || value === bundledCas || isAbsolute(value)) return value
  return resolve(dirname(origin.file), value)
}

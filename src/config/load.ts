/**
 * Loads the configuration: read each file (yaml-tree.ts), lay them over each other (overlay.ts),
 * refuse what this version does not do (not-yet.ts), put in environment and secrets (resolve.ts),
 * validate (schema.ts), check across values (checks.ts), freeze. Every mistake is gathered on the
 * way and reported at once.
 */
import { dirname, isAbsolute, resolve } from 'node:path'
import { PontoonError } from '../shared/errors.ts'
import { checkConfig } from './checks.ts'
import { deepFreeze } from './deep-freeze.ts'
import { explain } from './explain.ts'
import { ConfigError, formatMistake, isWithin, type Mistake, type Path } from './mistake.ts'
import { refuseNotYet } from './not-yet.ts'
import { overlay } from './overlay.ts'
import { shippedPhases } from './phases.ts'
import { resolveValues } from './resolve.ts'
import { configSchema, type Config } from './schema.ts'
import { originOf, toPlain, without } from './tree-paths.ts'
import { readYamlFile, type MapNode } from './yaml-tree.ts'

export interface LoadedConfig {
  /** Deeply frozen. */
  readonly config: Config
  /** The files it came from, as they were named, in order. */
  readonly files: readonly string[]
  /** What works, but is probably not what was meant; each with file, line and path. */
  readonly warnings: readonly string[]
}

/** Throws ConfigError: CONFIG_UNREADABLE, CONFIG_ENV_MISSING or CONFIG_INVALID. */
export function loadConfig(files: readonly string[], env: NodeJS.ProcessEnv): LoadedConfig {
  const [first] = files
  if (first === undefined)
    throw new PontoonError('USAGE', 'no configuration file: use --config FILE')
  const written = refuseNotYet(readFiles(files))
  const resolved = resolveValues(written.root, env)
  // Once more, for what came from the environment.
  const supported = refuseNotYet(resolved.root)
  const findings = new Findings(supported.root, [
    ...written.mistakes,
    ...resolved.mistakes,
    ...supported.mistakes,
  ])
  const config = validate(supported.root, findings)
  if (config !== undefined) checkConfig(config, shippedPhases(), findings)
  if (findings.mistakes.length > 0 || config === undefined) {
    throw new ConfigError(inOrder(findings.mistakes, files))
  }
  const state = { file: absolute(config.state.file, first) }
  return {
    config: deepFreeze({ ...config, state }),
    files: [...files],
    warnings: findings.warnings.map((warning) => formatMistake(warning)),
  }
}

function readFiles(files: readonly string[]): MapNode {
  const roots: MapNode[] = []
  const mistakes: Mistake[] = []
  for (const file of files) {
    try {
      roots.push(readYamlFile(file))
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      mistakes.push(...error.mistakes)
    }
  }
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return roots.reduce((lower, upper) => overlay(lower, upper))
}

/** Gathers mistakes; a place that has one already is not blamed for what follows from it. */
class Findings {
  readonly mistakes: Mistake[]
  readonly warnings: Mistake[] = []
  readonly #root: MapNode

  constructor(root: MapNode, mistakes: readonly Mistake[]) {
    this.#root = root
    this.mistakes = [...mistakes]
  }

  mistake(path: Path, message: string): void {
    const follows = this.mistakes.some(
      (known) => isWithin(path, known.path) || isWithin(known.path, path),
    )
    if (!follows) this.add(path, message)
  }

  warning(path: Path, message: string): void {
    this.warnings.push({ ...this.#at(path), message })
  }

  /** Of the schema: only what lies at or below a known mistake follows from it. */
  ofSchema(path: Path, message: string): void {
    if (!this.mistakes.some((known) => isWithin(path, known.path))) this.add(path, message)
  }

  add(path: Path, message: string): void {
    this.mistakes.push({ ...this.#at(path), message })
  }

  #at(path: Path): Omit<Mistake, 'message'> {
    return { code: 'CONFIG_INVALID', origin: originOf(this.#root, path), path }
  }
}

/**
 * Reports what the schema finds, then takes the mistakes out and tries again with the rest, so
 * that the checks across values still run. Undefined if too little is left.
 */
function validate(root: MapNode, findings: Findings): Config | undefined {
  let rest = root
  // A place that is left out may be required by its parent, which is left out the next time.
  for (let depth = 0; depth < 8; depth += 1) {
    const parsed = configSchema.safeParse(toPlain(rest))
    if (parsed.success) return parsed.data
    const problems = parsed.error.issues.flatMap((issue) => explain(issue, rest))
    for (const { path, message } of problems) {
      if (depth === 0) findings.ofSchema(path, message)
      rest = withoutMistake(rest, path)
    }
  }
  return undefined
}

function withoutMistake(root: MapNode, path: Path): MapNode {
  for (let length = path.length; length > 0; length -= 1) {
    const less = without(root, path.slice(0, length))
    if (less !== root) return less
  }
  return root
}

/** In the order of the files and their lines, as someone mends them. */
function inOrder(mistakes: readonly Mistake[], files: readonly string[]): readonly Mistake[] {
  return mistakes.toSorted(
    (one, other) =>
      files.indexOf(one.origin.file) - files.indexOf(other.origin.file) ||
      one.origin.line - other.origin.line,
  )
}

/** Resolves the default as well, which stands in no file. */
function absolute(path: string, file: string): string {
  return isAbsolute(path) ? path : resolve(dirname(file), path)
}

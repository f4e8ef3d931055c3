/** Replaces `${NAME}` and `${NAME:-default}` in one text; `$$` stands for a single `$`. */

export interface Substitution {
  readonly text: string
  /** Variables that were used, in order. */
  readonly names: readonly string[]
  /** Variables that are neither set nor have a default. */
  readonly missing: readonly string[]
  /** Text that looks like a placeholder and is none. */
  readonly malformed: readonly string[]
  /** Whether the text is one placeholder and nothing else. */
  readonly whole: boolean
}

const token = /\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?:(:-)([^}]*))?\}|\$\{[^}]*\}?/g

export function substitute(text: string, env: NodeJS.ProcessEnv): Substitution {
  const names: string[] = []
  const missing: string[] = []
  const malformed: string[] = []
  let whole = false
  const replaced = text.replace(
    token,
    (match: string, name: string | undefined, withDefault: string | undefined, fallback = '') => {
      if (match === '$$') return '$'
      if (name === undefined) {
        malformed.push(match)
        return match
      }
      names.push(name)
      whole = match === text
      const value = env[name]
      // As in a shell, `:-` also covers a variable that is set to nothing.
      if (withDefault !== undefined) return value === undefined || value === '' ? fallback : value
      if (value === undefined) missing.push(name)
      return value ?? ''
    },
  )
  return { text: replaced, names, missing, malformed, whole }
}

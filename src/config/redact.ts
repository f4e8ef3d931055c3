/**
 * Makes configuration and connection URLs fit to be printed: every secret becomes `***`. Which
 * values are secrets, the schema says; a test proves that none of a full configuration survives.
 */
import { childModel, configModel, isSecret, type ModelNode } from './schema-model.ts'
import type { Config } from './schema.ts'

const hidden = '***'

/** A copy of the configuration without its secrets. */
export function redactConfig(config: Config): unknown {
  return redact(config, configModel)
}

function redact(value: unknown, model: ModelNode | undefined): unknown {
  if (isSecret(model)) return value === undefined ? undefined : hidden
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => redact(item, modelBelow(model, index)))
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, held]: [string, unknown]) => [
      name,
      // What the schema does not know could be anything.
      redact(held, modelBelow(model, name) ?? { writeOnly: true }),
    ]),
  )
}

function modelBelow(model: ModelNode | undefined, step: string | number): ModelNode | undefined {
  return model === undefined ? undefined : childModel(model, step)
}

/**
 * Hides the password of a connection URL, in its user part and in its query. Works on the text,
 * because what must be hidden may stand in a URL that no parser takes: a password with a raw `/`
 * or `@` ends at the last `@`. So it rather hides too much.
 */
export function redactUrl(url: string): string {
  return url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/?#]*):.*@/is, `$1:${hidden}@`)
    .replace(/([?&](?:password|sslpassword|passwd|pwd|token|secret)=)[^&#]*/gi, `$1${hidden}`)
}

/** A configuration with every key set; its secrets all begin with `secret-`. */
import {
  asNode,
  childModel,
  isSecret,
  kindsOf,
  writtenModel,
} from '../../src/config/schema-model.ts'
import type { ModelNode } from '../../src/config/schema-model.ts'
import { configSchema, type Config } from '../../src/config/schema.ts'

export interface FullConfig {
  readonly config: Config
  readonly secrets: readonly string[]
}

/** Filled from the schema itself, so that a new key is covered the day it is added. */
export function fullConfig(): FullConfig {
  const secrets: string[] = []
  const config = configSchema.parse(fill(writtenModel, secrets, 'root'))
  return { config, secrets }
}

function fill(node: ModelNode, secrets: string[], name: string): unknown {
  if (isSecret(node)) {
    const secret = `secret-${secrets.length}-${name}`
    secrets.push(secret)
    return secret
  }
  if (node.const !== undefined) return node.const
  if (node.enum !== undefined) return node.enum[0]
  if (node.anyOf !== undefined) return fill(node.anyOf[0] ?? {}, secrets, name)
  if (node.type === 'array') return [fill(childModel(node, 0) ?? {}, secrets, name)]
  if (node.type === 'object') return fillMapping(node, secrets)
  if (node.type === 'integer' || node.type === 'number') return node.minimum ?? 1
  if (node.type === 'boolean') return true
  return `text-of-${name}`
}

function fillMapping(node: ModelNode, secrets: string[]): unknown {
  const known = Object.entries(node.properties ?? {}).map(([name, child]) => [
    name,
    fill(asNode(child) ?? {}, secrets, name),
  ])
  const named = asNode(node.additionalProperties)
  if (named === undefined) return Object.fromEntries(known)
  const kinds = kindsOf(named).length === 0 ? [named] : kindsOf(named)
  const filled = kinds.map((kind, index) => [
    index === 0 ? 'some-name' : `some-name-${index}`,
    fill(kind, secrets, 'named'),
  ])
  return Object.fromEntries([...known, ...filled])
}

/**
 * The schema as data: JSON Schema of what a file may hold. It answers which keys are known at a
 * path, what type a value has there, and whether it is a secret or a path, for resolve.ts,
 * explain.ts, redact.ts and scripts/docs-config.ts.
 */
import { z } from 'zod'
import type { Path } from './mistake.ts'
import { configSchema } from './schema.ts'

export type ModelNode = z.core.JSONSchema.BaseSchema

export const configModel: ModelNode = z.toJSONSchema(configSchema, { io: 'input' })

/** The model of the value at `path`, undefined where the schema knows none. */
export function modelAt(path: Path, root: ModelNode = configModel): ModelNode | undefined {
  let node: ModelNode | undefined = root
  for (const step of path) node = node === undefined ? undefined : childModel(node, step)
  return node
}

export function childModel(node: ModelNode, step: string | number): ModelNode | undefined {
  if (typeof step === 'number') return asNode(listModel(node)?.items)
  if (node.properties !== undefined && Object.hasOwn(node.properties, step)) {
    return asNode(node.properties[step])
  }
  for (const option of node.anyOf ?? []) {
    const child = asNode(asNode(option)?.properties?.[step])
    if (child !== undefined) return child
  }
  return asNode(node.additionalProperties)
}

/** The keys that the schema lists at this place; empty where names are free. */
export function knownKeys(node: ModelNode | undefined): readonly string[] {
  return Object.keys(node?.properties ?? {})
}

export function isSecret(node: ModelNode | undefined): boolean {
  return node?.writeOnly === true
}

/** A secret that is asked for again while Pontoon runs (net/secrets). */
export function rotates(node: ModelNode | undefined): boolean {
  return node?.['x-rotates'] === true
}

export function isFilePath(node: ModelNode | undefined): boolean {
  return node?.['x-path'] === true
}

export function isNumber(node: ModelNode | undefined): boolean {
  return node?.type === 'number' || node?.type === 'integer'
}

export function isBoolean(node: ModelNode | undefined): boolean {
  return node?.type === 'boolean'
}

type Subschema = ModelNode | boolean

export function asNode(value: Subschema | readonly Subschema[] | undefined): ModelNode | undefined {
  return typeof value === 'object' && !isList(value) ? value : undefined
}

function isList(value: ModelNode | readonly Subschema[]): value is readonly Subschema[] {
  return Array.isArray(value)
}

function listModel(node: ModelNode): ModelNode | undefined {
  if (node.type === 'array') return node
  return node.anyOf?.map((option) => asNode(option)).find((option) => option?.type === 'array')
}

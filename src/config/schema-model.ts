/**
 * The schema as data: JSON Schema of what a file may hold. It answers which keys are known at a
 * path, what type a value has there, and whether it is a secret or a path, for resolve.ts,
 * explain.ts, redact.ts and scripts/docs-config.ts.
 */
import { z } from 'zod'
import type { Path } from './mistake.ts'
import { configSchema } from './schema.ts'

export type ModelNode = z.core.JSONSchema.BaseSchema

/** As written: a service is one of several, by its protocol. */
export const writtenModel: ModelNode = z.toJSONSchema(configSchema, { io: 'input' })

/**
 * The kinds of services put together: what a key means at a place does not depend on the protocol,
 * only whether it may stand there, and that the schema itself decides.
 */
export const configModel: ModelNode = merged(writtenModel)

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

/** The kinds of a value that is one of several. */
export function kindsOf(node: ModelNode | undefined): readonly ModelNode[] {
  return (node?.oneOf ?? []).map((option) => asNode(option)).filter((kind) => kind !== undefined)
}

function merged(node: ModelNode): ModelNode {
  const [first, ...others] = kindsOf(node)
  if (first !== undefined) return merged(others.reduce(both, first))
  const { properties, additionalProperties } = node
  const named = asNode(additionalProperties)
  return {
    ...node,
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties).map(([name, child]) => {
              const model = asNode(child)
              return [name, model === undefined ? child : merged(model)]
            }),
          ),
        }),
    ...(named === undefined ? {} : { additionalProperties: merged(named) }),
  }
}

function both(one: ModelNode, other: ModelNode): ModelNode {
  const values = [...valuesOf(one), ...valuesOf(other)]
  const [mine, theirs] = [one.properties ?? {}, other.properties ?? {}]
  const properties = Object.fromEntries(
    [...new Set([...Object.keys(mine), ...Object.keys(theirs)])].flatMap((name) => {
      const [a, b] = [asNode(mine[name]), asNode(theirs[name])]
      const child = a !== undefined && b !== undefined ? both(a, b) : (a ?? b)
      return child === undefined ? [] : [[name, child]]
    }),
  )
  const [a, b] = [asNode(one.additionalProperties), asNode(other.additionalProperties)]
  const { const: _const, ...rest } = one
  return {
    ...rest,
    ...(values.length === 0 ? {} : { enum: [...new Set(values)] }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
    ...(a !== undefined && b !== undefined ? { additionalProperties: both(a, b) } : {}),
  }
}

function valuesOf(node: ModelNode): readonly NonNullable<ModelNode['enum']>[number][] {
  return node.enum ?? (node.const === undefined ? [] : [node.const])
}

function isList(value: ModelNode | readonly Subschema[]): value is readonly Subschema[] {
  return Array.isArray(value)
}

function listModel(node: ModelNode): ModelNode | undefined {
  if (node.type === 'array') return node
  return node.anyOf?.map((option) => asNode(option)).find((option) => option?.type === 'array')
}

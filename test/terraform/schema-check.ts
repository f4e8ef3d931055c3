/**
 * Holds blocks of Terraform code to the trimmed provider schema: every resource known, every
 * attribute known and writable, what is required there. Neighbour: static.test.ts.
 */
import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { asList, asObject } from '../../scripts/lib/hcl.ts'
import type { HclBlock, HclFile, Json, JsonObject } from '../../scripts/lib/hcl.ts'

export interface BlockSchema {
  required?: boolean | undefined
  attributes: Record<string, 'required' | 'optional' | 'computed'>
  blocks?: Record<string, BlockSchema> | undefined
}

const blockSchema: z.ZodType<BlockSchema> = z.lazy(() =>
  z.object({
    required: z.boolean().optional(),
    attributes: z.record(z.string(), z.enum(['required', 'optional', 'computed'])),
    blocks: z.record(z.string(), blockSchema).optional(),
  }),
)
const providerSchema = z.object({
  provider: z.string(),
  resources: z.record(z.string(), blockSchema),
  data: z.record(z.string(), blockSchema),
})
export type ProviderSchema = z.infer<typeof providerSchema>

export function readSchema(file: string): ProviderSchema {
  return providerSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
}

/** Arguments that Terraform itself takes in every resource. */
const metaArguments = new Set([
  'count',
  'for_each',
  'depends_on',
  'lifecycle',
  'provider',
  'dynamic',
])

export function blockMistakes(
  { file, labels, body }: HclBlock,
  known: Readonly<Record<string, BlockSchema>>,
): readonly string[] {
  const [type = '', name = ''] = labels
  const where = `${file}: ${type}.${name}`
  const schema = known[type]
  if (schema === undefined) return [`${where}: the schema knows no ${type}`]
  return check(body, schema, where, metaArguments)
}

function check(
  body: JsonObject,
  schema: BlockSchema,
  where: string,
  ignored: ReadonlySet<string>,
): readonly string[] {
  const given = Object.entries(body).filter(([name]) => !ignored.has(name))
  const dynamic = Object.entries(asObject(body['dynamic'] ?? null)).flatMap(([name, blocks]) =>
    asList(blocks).flatMap((one): [string, Json][] =>
      asList(asObject(one)['content'] ?? null).map((content) => [name, content]),
    ),
  )
  const all = [...given, ...dynamic]
  const names = new Set(all.map(([name]) => name))
  return [
    ...all.flatMap(([name, value]) => argument(name, value, schema, where)),
    ...requiredNames(schema)
      .filter((name) => !names.has(name))
      .map((name) => `${where}: ${name} is required`),
  ]
}

function argument(
  name: string,
  value: Json,
  schema: BlockSchema,
  where: string,
): readonly string[] {
  const kind = schema.attributes[name]
  if (kind === 'computed') return [`${where}: ${name} is set by the provider only`]
  if (kind !== undefined) return []
  const block = schema.blocks?.[name]
  if (block === undefined) return [`${where}: there is no ${name}`]
  return asList(value).flatMap((one) => check(asObject(one), block, `${where}.${name}`, new Set()))
}

function requiredNames(schema: BlockSchema): readonly string[] {
  return [
    ...Object.entries(schema.attributes).filter(([, kind]) => kind === 'required'),
    ...Object.entries(schema.blocks ?? {}).filter(([, block]) => block.required === true),
  ].map(([name]) => name)
}

/** `aws_vpc.this[0].id`, `data.aws_region.current.id`: resource, index if any, attribute. */
const reference = /\b(data\.)?(aws_[a-z0-9_]+)\.[a-z0-9_]+(?:\[[^\]]*\])?\.([a-z0-9_]+)/g

/** Attributes that are read of a resource and that it does not have. */
export function referenceMistakes(
  { path, text }: HclFile,
  schema: ProviderSchema,
): readonly string[] {
  return [...text.matchAll(reference)].flatMap(([whole, data, type = '', attribute = '']) => {
    const known = (data === undefined ? schema.resources : schema.data)[type]
    if (known === undefined) return [`${path}: ${whole}: the schema knows no ${type}`]
    const there = attribute in known.attributes || attribute in (known.blocks ?? {})
    return there ? [] : [`${path}: ${whole}: ${type} has no ${attribute}`]
  })
}

/**
 * Writes terraform/provider-schema.json: of each resource and data source that terraform/ uses, the
 * attributes and blocks that the AWS provider knows. Tests hold the code to it where the provider
 * itself cannot be had. Run it with a mirror of the provider at hand after using a new resource or
 * raising the provider: `node --import=tsx scripts/terraform-schema.ts`.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { z } from 'zod'
import { blocksOf, readHcl } from './lib/hcl.ts'
import { findTerraform, terraformEnv, type Terraform } from './lib/terraform.ts'

const folder = fileURLToPath(new URL('../terraform', import.meta.url))
const outputMax = 64 * 1024 * 1024

const attribute = z.object({
  required: z.boolean().optional(),
  optional: z.boolean().optional(),
})
interface Block {
  attributes?: Record<string, z.infer<typeof attribute>> | undefined
  block_types?: Record<string, { block: Block; min_items?: number | undefined }> | undefined
}
const block: z.ZodType<Block> = z.lazy(() =>
  z.object({
    attributes: z.record(z.string(), attribute).optional(),
    block_types: z
      .record(z.string(), z.object({ block, min_items: z.number().optional() }))
      .optional(),
  }),
)
const schemas = z.record(z.string(), z.object({ block }))
const answer = z.object({
  provider_schemas: z.record(
    z.string(),
    z.object({ resource_schemas: schemas, data_source_schemas: schemas }),
  ),
})
const versions = z.object({ provider_selections: z.record(z.string(), z.string()) })

/** How much may be written: `required` and `optional` by us, `computed` only by the provider. */
type Kind = 'required' | 'optional' | 'computed'
interface TrimmedBlock {
  readonly required?: true
  readonly attributes: Readonly<Record<string, Kind>>
  readonly blocks?: Readonly<Record<string, TrimmedBlock>>
}

export async function trimmedSchema(terraform: Terraform): Promise<string> {
  const { schema, version } = readProvider(terraform)
  const files = await readHcl(folder, ['.tf'])
  const used = (keyword: string): readonly string[] =>
    [...new Set(blocksOf(files, keyword, 2).map(({ labels }) => labels[0] ?? ''))].toSorted()
  const trimmed = {
    provider: `hashicorp/aws ${version}`,
    resources: pick(schema.resource_schemas, used('resource')),
    data: pick(schema.data_source_schemas, used('data')),
  }
  return await format(JSON.stringify(trimmed), { parser: 'json', printWidth: 100 })
}

function pick(from: z.infer<typeof schemas>, names: readonly string[]): object {
  return Object.fromEntries(
    names.map((name) => {
      const found = from[name]
      if (found === undefined) throw new Error(`the provider has no ${name}`)
      return [name, trim(found.block, 0)]
    }),
  )
}

function trim({ attributes, block_types: blocks }: Block, minItems: number): TrimmedBlock {
  return {
    ...(minItems > 0 ? { required: true } : {}),
    attributes: Object.fromEntries(
      Object.entries(attributes ?? {}).map(([name, one]) => [name, kindOf(one)]),
    ),
    ...(blocks === undefined
      ? {}
      : {
          blocks: Object.fromEntries(
            Object.entries(blocks).map(([name, one]) => [
              name,
              trim(one.block, one.min_items ?? 0),
            ]),
          ),
        }),
  }
}

function kindOf({ required, optional }: z.infer<typeof attribute>): Kind {
  if (required === true) return 'required'
  return optional === true ? 'optional' : 'computed'
}

function readProvider({ binary, mirror }: Terraform): {
  schema: z.infer<typeof answer>['provider_schemas'][string]
  version: string
} {
  const place = mkdtempSync(join(tmpdir(), 'pontoon-schema-'))
  const run = (...args: string[]): string =>
    execFileSync(binary, args, {
      cwd: place,
      env: terraformEnv(),
      maxBuffer: outputMax,
      encoding: 'utf8',
    })
  try {
    writeFileSync(
      join(place, 'main.tf'),
      'terraform {\n  required_providers {\n    aws = {\n      source = "hashicorp/aws"\n    }\n  }\n}\n',
    )
    run('init', '-backend=false', `-plugin-dir=${mirror}`)
    const found = answer.parse(JSON.parse(run('providers', 'schema', '-json'))).provider_schemas
    const schema = Object.values(found)[0]
    const selected = versions.parse(JSON.parse(run('version', '-json'))).provider_selections
    if (schema === undefined) throw new Error('terraform told of no provider')
    return { schema, version: Object.values(selected)[0] ?? 'of unknown version' }
  } finally {
    rmSync(place, { recursive: true, force: true })
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const terraform = findTerraform()
  if (typeof terraform === 'string') throw new Error(terraform)
  writeFileSync(join(folder, 'provider-schema.json'), await trimmedSchema(terraform))
  process.stdout.write('terraform/provider-schema.json\n')
}

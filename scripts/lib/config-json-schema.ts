/**
 * The JSON Schema that editors check a configuration file against (config/pontoon.schema.json,
 * written by scripts/docs-config.ts). Wider than the schema itself in what a file may hold before
 * it is resolved: `${NAME}` in the place of a number, and `{ file: path }` in that of a secret.
 */
import { z } from 'zod'
import { configSchema } from '../../src/config/schema.ts'
import type { ModelNode } from '../../src/config/schema-model.ts'

const placeholder: ModelNode = {
  type: 'string',
  pattern: '^\\$\\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\\}$',
}

const secretFile: ModelNode = {
  type: 'object',
  properties: { file: { type: 'string', minLength: 1 } },
  required: ['file'],
  additionalProperties: false,
}

const typeKeys = ['type', 'minimum', 'maximum', 'minLength', 'enum', 'const'] as const

export function configJsonSchema(): ModelNode {
  const schema = z.toJSONSchema(configSchema, {
    io: 'input',
    override: ({ jsonSchema }) => {
      const { type } = jsonSchema
      // One that rotates lists its sources itself.
      if (jsonSchema['writeOnly'] === true) {
        if (jsonSchema['x-rotates'] !== true) widen(jsonSchema, secretFile)
      } else if (type === 'number' || type === 'integer' || type === 'boolean') {
        widen(jsonSchema, placeholder)
      } else if (jsonSchema.enum !== undefined) widen(jsonSchema, placeholder)
    },
  })
  const { $schema, ...rest } = schema
  const title = 'Pontoon configuration'
  return $schema === undefined ? { title, ...rest } : { $schema, title, ...rest }
}

/** Moves what restricts the type into one branch, so that the other one is possible as well. */
function widen(schema: ModelNode, other: ModelNode): void {
  const own: Record<string, unknown> = {}
  for (const key of typeKeys) {
    if (schema[key] === undefined) continue
    own[key] = schema[key]
    delete schema[key]
  }
  schema.anyOf = [own, other]
}

import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { generateConfigDocs } from '../../scripts/docs-config.ts'
import { configJsonSchema } from '../../scripts/lib/config-json-schema.ts'
import { knownKeys, modelAt } from '../../src/config/schema-model.ts'

const root = new URL('../../', import.meta.url)

void t.test('the generated files are up to date', async (test) => {
  for (const { path, text } of await generateConfigDocs()) {
    const present = readFileSync(new URL(path, root), 'utf8')
    test.equal(present, text, `${path}: run node --import=tsx scripts/docs-config.ts`)
  }
})

void t.test('every key has a description', async (test) => {
  const missing: string[] = []
  collectUndescribed([], missing)
  test.strictSame(missing, [])
})

void t.test('takes the example with its placeholders', async (test) => {
  const text = readFileSync(new URL('config/database.yml', root), 'utf8')
  const example: unknown = parse(text)
  const { error } = z.fromJSONSchema(configJsonSchema()).safeParse(example)
  test.equal(error, undefined)
})

void t.test(
  'takes ${NAME} for a number and { file } for a secret, and refuses mistakes',
  async (test) => {
    const schema = z.fromJSONSchema(configJsonSchema())
    const accepts = (value: unknown): boolean => schema.safeParse(value).success
    const side = { host: 'a', port: '${PORT}', password: { file: './pw' } }
    const service = { protocol: 'postgres', listen: 'localhost:1', source: side, target: side }
    test.ok(accepts({ services: { orders: service } }))
    test.notOk(accepts({ services: { orders: { ...service, lisen: 1 } } }))
    test.notOk(accepts({ services: { orders: { ...service, source: { ...side, port: 'x' } } } }))
    test.notOk(accepts({}))
  },
)

function collectUndescribed(path: readonly (string | number)[], missing: string[]): void {
  if (path.length > 8) return
  const node = modelAt(path)
  const steps = node?.additionalProperties === false ? knownKeys(node) : ['any']
  for (const step of steps) {
    const below = [...path, step]
    const child = modelAt(below)
    if (child === undefined) continue
    if (step !== 'any' && child.description === undefined) missing.push(below.join('.'))
    collectUndescribed(child.type === 'array' ? [...below, 0] : below, missing)
  }
}

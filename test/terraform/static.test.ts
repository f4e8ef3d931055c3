/**
 * What can be said about terraform/ without Terraform: the files parse, keep to the provider's
 * schema (the trimmed one in the repository), validate every variable with words that help, test
 * every validation, and open nothing to the world. The rest is in the other files of this folder.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { asList, blocksOf, nested, readHcl } from '../../scripts/lib/hcl.ts'
import type { HclFile, Json } from '../../scripts/lib/hcl.ts'
import { findTerraform, lacking } from '../../scripts/lib/terraform.ts'
import { trimmedSchema } from '../../scripts/terraform-schema.ts'
import { blockMistakes, readSchema, referenceMistakes } from './schema-check.ts'

const folder = fileURLToPath(new URL('../../terraform', import.meta.url))
const schemaFile = join(folder, 'provider-schema.json')
const schema = readSchema(schemaFile)
const files = await readHcl(folder, ['.tf'])
const modules = ['.', 'modules/rds-postgresql', 'modules/elasticache-redis']

const inFolder = (name: string): readonly HclFile[] =>
  files.filter(
    ({ path }) => (path.includes('/') ? path.slice(0, path.lastIndexOf('/')) : '.') === name,
  )

void t.test('every resource, attribute and reference is one of the provider', async (test) => {
  const resources = blocksOf(files, 'resource', 2)
  test.ok(resources.length > 25, 'the resources were found')
  test.same(
    resources.flatMap((one) => blockMistakes(one, schema.resources)),
    [],
  )
  test.same(
    blocksOf(files, 'data', 2).flatMap((one) => blockMistakes(one, schema.data)),
    [],
  )
  test.same(
    files.flatMap((file) => referenceMistakes(file, schema)),
    [],
  )
})

void t.test('the check against the schema finds what it is for', async (test) => {
  const mistakes = (type: string, body: Record<string, Json>): string =>
    blockMistakes({ file: 'a.tf', labels: [type, 'x'], body }, schema.resources).join('\n')
  test.match(mistakes('aws_vpn', {}), /knows no aws_vpn/)
  test.match(mistakes('aws_kms_key', { arn: 'x' }), /arn is set by the provider/)
  test.match(mistakes('aws_kms_key', { rotate: true }), /there is no rotate/)
  test.match(mistakes('aws_subnet', {}), /vpc_id is required/)
  const user = { user_id: 'a', user_name: 'a', engine: 'redis', access_string: 'on' }
  test.equal(mistakes('aws_elasticache_user', user), '')
  const mode = { authentication_mode: [{ kind: 'iam' }] }
  test.match(mistakes('aws_elasticache_user', { ...user, ...mode }), /no kind\n.*type is required/)
  const dynamic = { dynamic: { authentication_mode: [{ content: [{ kind: 'iam' }] }] } }
  test.match(mistakes('aws_elasticache_user', { ...user, ...dynamic }), /no kind/)
  const text = 'x = aws_vpc.this[0].arns'
  test.match(referenceMistakes({ path: 'a.tf', text, body: {} }, schema), [/has no arns/])
})

void t.test('the trimmed schema is what the provider says', { skip: lacking() }, async (test) => {
  const terraform = findTerraform()
  if (typeof terraform === 'string') throw new Error(terraform)
  test.equal(readFileSync(schemaFile, 'utf8'), await trimmedSchema(terraform))
})

void t.test('every variable says what it is and refuses with words that help', async (test) => {
  const variables = blocksOf(files, 'variable', 1)
  test.ok(variables.length > 70, 'the variables were found')
  for (const { file, labels, body } of variables) {
    const name = labels[0] ?? ''
    const validations = nested(body, 'validation')
    test.ok(body['description'] !== undefined && body['type'] !== undefined, `${file}: ${name}`)
    test.ok(validations.length > 0, `${file}: ${name} is validated`)
    for (const { error_message: message } of validations) {
      const words = typeof message === 'string' ? message : ''
      test.ok(words.startsWith(`${name}: `) && words.length > name.length + 8, `${name}: ${words}`)
    }
  }
})

void t.test('every validation is seen to refuse', async (test) => {
  const tests = await readHcl(folder, ['.tftest.hcl'])
  for (const module of modules) {
    const own = tests.filter(({ path }) => path.startsWith(join(module, 'tests/')))
    const refused = blocksOf(own, 'run', 1).flatMap(({ body }) =>
      asList(body['expect_failures'] ?? null).map(String),
    )
    for (const { labels, body } of blocksOf(inFolder(module), 'variable', 1)) {
      const validations = nested(body, 'validation').length
      const seen = refused.filter((one) => one.includes(`var.${labels[0]}}`)).length
      test.ok(seen >= validations, `${module}: ${labels[0]} has ${validations}, refused ${seen}`)
    }
  }
})

void t.test('nothing is open to the world, nothing needs version 6 alone', async (test) => {
  const gone = /0\.0\.0\.0\/0|::\/0|publicly_accessible += true|flow_log|_wo\b|\baws_eip\b/
  const wrong = files.flatMap(({ path, text }) =>
    text
      .split('\n')
      .filter((line) => gone.test(line) && !line.includes('error_message'))
      .map((line) => `${path}: ${line.trim()}`),
  )
  test.same(wrong, [])
  for (const name of [...modules, ...exampleFolders()]) {
    const [terraform] = inFolder(name).flatMap(({ body }) => nested(body, 'terraform'))
    test.match(terraform, {
      required_version: '>= 1.9',
      required_providers: [{ aws: { source: 'hashicorp/aws', version: '>= 5.100, < 7.0' } }],
    })
  }
  test.same(exampleFolders().length, 4)
})

function exampleFolders(): readonly string[] {
  const paths = files.map(({ path }) => /^examples\/[^/]+/.exec(path)?.[0] ?? '')
  return [...new Set(paths)].filter((path) => path !== '')
}

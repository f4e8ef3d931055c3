/**
 * Writes config/pontoon.schema.json and docs/configuration.md from the schema. Run it after every
 * change of src/config/schema.ts: `node --import=tsx scripts/docs-config.ts`. A test fails when
 * the files are not up to date.
 */
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { format } from 'prettier'
import { configJsonSchema } from './lib/config-json-schema.ts'
import { shippedPhases } from '../src/config/phases.ts'
import { asNode, kindsOf, writtenModel, type ModelNode } from '../src/config/schema-model.ts'

export interface GeneratedFile {
  /** From the root of the repository. */
  readonly path: string
  readonly text: string
}

export async function generateConfigDocs(): Promise<readonly GeneratedFile[]> {
  const style = { printWidth: 100, singleQuote: true }
  return [
    {
      path: 'config/pontoon.schema.json',
      text: await format(JSON.stringify(configJsonSchema()), { ...style, parser: 'json' }),
    },
    {
      path: 'docs/configuration.md',
      text: await format(configurationPage(), { ...style, parser: 'markdown' }),
    },
  ]
}

function configurationPage(): string {
  return `${introduction}
## Every key

\`<name>\` stands for a name of your choice, \`[]\` for each entry of a list. A value marked
_secret_ is text or \`{ file: path }\`, a _rotating secret_ also \`{ secretsManager: … }\`; neither is
ever printed. A \`target\` has the same keys as a
\`source\`.

| key | type | default | unit | description |
| --- | --- | --- | --- | --- |
${rowsOf(writtenModel, '').join('\n')}

## Keys of a Redis service

With \`protocol: redis\`; docs/redis.md says what they mean together.

| key | type | default | unit | description |
| --- | --- | --- | --- | --- |
${redisRows().join('\n')}

## Phases

What \`pontoon phase SERVICE NAME\` sets, from \`config/phases/\`; percentages. This version does not
mirror or dual-write yet and refuses a phase that needs it.

| phase | reads | mirror | dual-write | reached by | description |
| --- | --- | --- | --- | --- | --- |
${phaseRows().join('\n')}
`
}

const introduction = `<!-- Written by scripts/docs-config.ts from src/config/schema.ts. Do not edit. -->

# Configuration

Pontoon reads one or more YAML files. \`pontoon init\` writes a first one from the URL that your
application uses today; \`config/database.yml\` is a commented example. Editors that understand JSON
Schema check a file while you type if its first line is
\`# yaml-language-server: $schema=…/pontoon.schema.json\`.

\`pontoon check --config FILE\` validates the files and reports every mistake with its file, line and
path. Unknown keys are mistakes.

## Overlays

\`--config base.yml --config prod.yml\` lays the second file over the first: mappings are merged key by
key, lists and single values are replaced, and a key with an empty value takes away what the lower
file said, so that the default counts again.

## Environment

\`\${NAME}\` in a value is replaced by the environment variable after the file has been parsed, so the
variable may hold any character. \`\${NAME:-default}\` falls back where the variable is unset or
empty; \`\${NAME}\` alone demands that it is set. In the place of a number, a value that is nothing but
\`\${NAME}\` becomes a number. \`$$\` stands for a single \`$\`; a \`$\` that is not followed by \`{\`
stays as it is.

## Secrets

A secret is text (then better \`\${NAME}\` than the secret itself) or \`{ file: path }\`, as
orchestrators mount it; one newline at the end of that file does not count. Secrets are replaced by
\`***\` wherever Pontoon prints its configuration.

A _rotating secret_ is looked at again while Pontoon runs: a file whenever a server is opened and the
file has changed, and
\`{ secretsManager: ARN, key: FIELD, region: …, endpoint: …, refreshMs: 300000 }\` every \`refreshMs\`
(only \`secretsManager\` is needed). When a server refuses it, it is fetched anew and the login tried once
more. Without \`key\`, a secret that is JSON gives its \`password\`, any other gives its text.
docs/authentication.md says more.

## Paths

Relative paths of certificates, secrets and the state folder count from the folder of the file that
names them, the default of \`state.file\` from that of the first file. \`ca: aws-rds\` is no path, but the
bundled CAs of Amazon RDS.

## Listen addresses

\`127.0.0.1:6432\`, \`[::1]:6432\`, \`0.0.0.0:6432\` (every IPv4 address), \`[::]:6432\` (every IPv6
address), \`localhost:6432\` (both loopback addresses), or the full path of a Unix socket. libpq takes
the folder of a socket as host: \`/run/pontoon/.s.PGSQL.6432\` is what
\`psql -h /run/pontoon -p 6432\` finds. Names other than \`localhost\` are refused.

## Reload

On SIGHUP the files are read again; a file with a mistake changes nothing. These values change while
Pontoon runs: \`log.level\`, \`drainTimeoutMs\`, \`admin.tokens\`, and of each service \`databases\`,
\`consoleUsers\`, \`statsUsers\`,
\`users\` (but not the roles as which a known user goes out), \`limits\`, \`pool\` except its \`mode\`,
\`route.readAfterWriteMs\`, and of each side \`password\`, \`auth\`, \`connectTimeoutMs\` and the special users. Everything else needs a restart and is named
in the log. \`route.phase\` and \`route.reads\` only say where a new service starts.
`

/** The kinds of services, PostgreSQL's first. */
function serviceModels(): readonly ModelNode[] {
  const named = asNode(asNode(writtenModel.properties?.['services'])?.additionalProperties)
  return kindsOf(named)
}

function redisRows(): readonly string[] {
  const redis = serviceModels()[1]
  return redis === undefined ? [] : rowsOf(redis, 'services.<name>')
}

function rowsOf(node: ModelNode, path: string): readonly string[] {
  const properties = Object.entries(node.properties ?? {})
  const rows = properties.flatMap(([name, child]) => {
    const schema = asNode(child)
    if (schema === undefined) return []
    const key = path === '' ? name : `${path}.${name}`
    const own = row(key, schema, node.required?.includes(name) === true)
    // The keys of the target are those of the source.
    return name === 'target' ? [own] : [own, ...rowsOf(schema, key)]
  })
  const named = asNode(node.additionalProperties)
  const [postgres = named] = kindsOf(named)
  if (postgres !== undefined) rows.push(...rowsOf(postgres, `${path}.<name>`))
  const items = asNode(node.items)
  if (items !== undefined) rows.push(...rowsOf(items, `${path}[]`))
  return rows
}

function row(key: string, node: ModelNode, required: boolean): string {
  const cells = [
    `\`${key}\``,
    typeOf(node),
    required ? '_required_' : defaultOf(node),
    typeof node['x-unit'] === 'string' ? node['x-unit'] : '',
    node.description ?? '',
  ]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function typeOf(node: ModelNode): string {
  if (node['x-rotates'] === true) return '_rotating secret_'
  if (node.anyOf !== undefined) return node.anyOf.map((option) => typeOf(option)).join(' or ')
  if (node.writeOnly === true) return '_secret_'
  if (node.const !== undefined) return `\`${JSON.stringify(node.const).replaceAll('"', '')}\``
  if (node.enum !== undefined) return node.enum.map((value) => `\`${String(value)}\``).join(', ')
  if (node['x-path'] === true) return 'path'
  if (node.type === 'array') return `list of ${typeOf(asNode(node.items) ?? {})}`
  if (node.type === 'integer') return `whole number${range(node)}`
  if (node.type === 'number') return `number${range(node)}`
  if (node.type === 'object') return node.properties === undefined ? 'mapping by name' : 'mapping'
  return node.type === 'string' ? 'text' : String(node.type ?? '')
}

function range({ minimum, maximum }: ModelNode): string {
  return minimum === undefined || maximum === undefined ? '' : `, ${minimum} to ${maximum}`
}

function defaultOf(node: ModelNode): string {
  const value = node.default
  if (value === undefined || (typeof value === 'object' && node.type !== 'array')) return ''
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

function phaseRows(): readonly string[] {
  return Object.values(shippedPhases()).map(
    ({ phase, reads, mirror, dualWrite, reachedBy, description }) => {
      const by = { patch: 'operator', cutover: '`pontoon cutover`', retire: 'nothing yet' }[
        reachedBy
      ]
      return `| \`${phase}\` | ${reads} | ${mirror} | ${dualWrite} | ${by} | ${description} |`
    },
  )
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const { path, text } of await generateConfigDocs()) {
    writeFileSync(new URL(`../${path}`, import.meta.url), text)
    process.stdout.write(`${path}\n`)
  }
}

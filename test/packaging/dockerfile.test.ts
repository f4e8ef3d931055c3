/** What can be read off the Dockerfile; artefacts.test.ts carries it out. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readStages } from './dockerfile.ts'
import type { Stage } from './dockerfile.ts'
import { projectRoot } from './rehearsal.ts'

const stages = readStages(join(projectRoot, 'Dockerfile'))
const names = stages.map((stage) => stage.name)
const stageOf = (name: string): Stage => {
  const found = stages.find((stage) => stage.name === name)
  if (found === undefined) throw new Error(`no stage ${name}`)
  return found
}
const last = (name: string, keyword: string): string =>
  stageOf(name).steps.findLast((step) => step.keyword === keyword)?.text ?? ''

void t.test('stages', async (test) => {
  test.same(names, ['dependencies', 'build', 'sample-app', 'migrator', 'sidecar'])
  test.equal(stages.at(-1)?.name, 'sidecar', 'a build without --target makes the sidecar')
  test.match(
    stageOf('sidecar').from,
    /^gcr\.io\/distroless\/nodejs\d+-debian\d+:nonroot@sha256:[0-9a-f]{64}$/,
  )
  test.equal(last('migrator', 'CMD'), '["help"]')
})

void t.test('everything that is copied exists, and what is ignored is not copied', async (test) => {
  const ignore = readFileSync(join(projectRoot, '.dockerignore'), 'utf8').split('\n')
  const allowed = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  const copied = stages.flatMap(({ steps }) => steps.flatMap((step) => step.copy ?? []))
  for (const { from, sources } of copied) {
    if (from !== undefined) test.ok(names.includes(from), `${from} is a stage`)
    else
      for (const source of sources) {
        test.ok(allowed.includes(source), `${source} is let through`)
        test.ok(existsSync(join(projectRoot, source)), `${source} exists`)
      }
  }
  const used = new Set(
    copied.filter(({ from }) => from === undefined).flatMap((one) => one.sources),
  )
  test.same(
    allowed.filter((path) => !used.has(path)),
    [],
    'nothing is let through in vain',
  )
  test.equal(
    ignore.find((line) => line !== '' && !line.startsWith('#')),
    '*',
  )
})

void t.test('what runs is a numeric stranger that hears its signals', async (test) => {
  for (const name of ['sidecar', 'migrator']) {
    test.equal(last(name, 'USER'), '65532:65532', `${name}: Kubernetes checks numbers only`)
    test.equal(last(name, 'STOPSIGNAL'), 'SIGTERM')
    const { steps } = stageOf(name)
    const labels = steps.filter((step) => step.keyword === 'LABEL').map((step) => step.text)
    for (const label of ['title', 'description', 'licenses', 'version', 'revision', 'created'])
      test.ok(labels.join(' ').includes(`org.opencontainers.image.${label}=`), `${name}: ${label}`)
    const forms = steps.filter(({ keyword }) =>
      ['ENTRYPOINT', 'CMD', 'HEALTHCHECK'].includes(keyword),
    )
    for (const { keyword, words } of forms) test.ok(words.length > 0, `${name}: ${keyword} is exec`)
  }
  test.match(last('sidecar', 'HEALTHCHECK'), /main\.js", "health"/, 'by our own binary')
})

void t.test('no secret and no remote file goes in', async (test) => {
  const steps = stages.flatMap((stage) => stage.steps)
  test.same(
    steps.filter(({ keyword }) => keyword === 'ADD'),
    [],
  )
  const suspicious = steps.filter(
    ({ keyword, text }) => ['ARG', 'ENV'].includes(keyword) && /password|token|secret/i.test(text),
  )
  test.same(suspicious, [])
})

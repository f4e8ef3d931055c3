/**
 * The whole of terraform/: format, validity, its own tests with a mocked provider; and what comes
 * out of a (mocked) apply is a configuration that Pontoon takes.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { z } from 'zod'
import { lacking } from '../../scripts/lib/terraform.ts'
import { pontoon } from '../cli/capture.ts'
import type { Captured } from '../cli/capture.ts'
import { copyTerraform } from './terraform.ts'

const skip = lacking()
void t.test('terraform/ is formatted, valid, passes its own tests', { skip }, async (test) => {
  const copy = copyTerraform(test)
  await copy.must('terraform', 'fmt', '-check', '-recursive', '-diff')
  await copy.init('terraform')
  await copy.must('terraform', 'validate', '-no-color')
  // Verbose, because it also prints the outputs of what was applied.
  const told = await copy.must('terraform', 'test', '-verbose', '-no-color')
  test.match(told, /Success! [1-9][0-9]* passed, 0 failed/)
  await test.test('sidecar_config is taken by pontoon check', (inner) =>
    checkSidecarConfig(inner, multilineOutput(told, 'sidecar_config')),
  )
})

/** The first file; the second, from Terraform, brings the targets. */
const base = `
services:
  orders:
    protocol: postgres
    listen: 127.0.0.1:6432
    clientAuth: { mode: trust }
    source: { host: db.internal, database: orders, user: app, password: secret }
  cache:
    protocol: redis
    listen: 127.0.0.1:6380
    clientAuth: { mode: trust }
    source: { host: cache.internal, port: 6379 }
`

async function checkSidecarConfig(test: Test, text: string): Promise<void> {
  const folder = test.testdir({})
  const check = async (first: string, target: string): Promise<Captured> => {
    const files = [join(folder, 'database.yml'), join(folder, 'target.yml')] as const
    writeFileSync(files[0], first)
    writeFileSync(files[1], target)
    return await pontoon(['check', '--offline', '--config', files[0], '--config', files[1]])
  }
  const { services } = overlay.parse(parse(text))
  test.match(services['orders'], { target: { auth: { mode: 'rds-iam' } } })
  test.match(services['cache'], { target: { auth: { mode: 'elasticache-iam' } } })
  const answer = await check(base, text)
  test.match(answer, { exit: 0, out: /services orders, cache/ }, answer.err)
}

const overlay = z.object({ services: z.record(z.string(), z.unknown()) })

/** As Terraform shows a text of several lines: `NAME = <<-EOT`, the lines indented, `EOT`. */
function multilineOutput(told: string, name: string): string {
  const lines = told.split('\n')
  const first = lines.findIndex((line) => new RegExp(`^ *${name} += <<-?EOT$`).test(line)) + 1
  const count = lines.slice(first).findIndex((line) => line.trim() === 'EOT')
  if (first === 0 || count < 0) throw new Error(`no output ${name} in:\n${told.slice(-4_000)}`)
  const text = lines.slice(first, first + count)
  const indent = Math.min(...text.map((line) => line.length - line.trimStart().length))
  return text.map((line) => line.slice(indent)).join('\n')
}

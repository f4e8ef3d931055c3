/**
 * Runs Terraform in a copy of terraform/, offline: providers come from a mirror on this machine.
 * Neighbours: *.test.ts beside it.
 */
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { findTerraform, terraformEnv } from '../../scripts/lib/terraform.ts'

const sources = fileURLToPath(new URL('../../terraform', import.meta.url))
const outputMax = 16 * 1024 * 1024
/**
 * Terraform and the provider that it starts for every run of a test are programs in Go. With one
 * thread and fewer garbage collections they take two thirds of the CPU time: other test files run
 * at the same time and need the cores.
 */
const thrift = { GOMAXPROCS: '1', GOGC: '400' }

export interface Finished {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

export class TerraformCopy {
  /** Holds a copy of terraform/ under that name. */
  readonly folder: string
  readonly #binary: string
  readonly #mirror: string

  constructor(folder: string, binary: string, mirror: string) {
    this.folder = folder
    this.#binary = binary
    this.#mirror = mirror
  }

  async init(at: string): Promise<void> {
    await this.must(at, 'init', '-backend=false', `-plugin-dir=${this.#mirror}`)
  }

  /** Throws with what Terraform said when it fails. */
  async must(at: string, ...args: readonly string[]): Promise<string> {
    const { exit, stdout, stderr } = await this.run(at, ...args)
    if (exit === 0) return stdout
    const words = `${stdout}\n${stderr}`.slice(-4_000)
    throw new Error(`terraform ${args.join(' ')} in ${at}:\n${words}`)
  }

  run(at: string, ...args: readonly string[]): Promise<Finished> {
    const env = { ...terraformEnv(), ...thrift }
    const options = { cwd: join(this.folder, at), env, maxBuffer: outputMax }
    return new Promise((resolve) => {
      execFile(this.#binary, [...args], options, (error, stdout, stderr) => {
        resolve({ exit: error === null ? 0 : 1, stdout, stderr })
      })
    })
  }
}

/** For a test that is skipped where Terraform or the mirror is lacking (`lacking`). */
export function copyTerraform(test: Test): TerraformCopy {
  const terraform = findTerraform()
  if (typeof terraform === 'string') throw new Error(terraform)
  const folder = mkdtempSync(join(tmpdir(), 'pontoon-terraform-'))
  test.teardown(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(sources, join(folder, 'terraform'), {
    recursive: true,
    filter: (path) => !path.includes('/.terraform'),
  })
  return new TerraformCopy(folder, terraform.binary, terraform.mirror)
}

/** `terraform test` of one folder: every run must pass, and there must be some. */
export async function expectTestsPass(test: Test, at: string): Promise<void> {
  const copy = copyTerraform(test)
  await copy.init(at)
  const { exit, stdout, stderr } = await copy.run(at, 'test', '-no-color')
  test.match(stdout, /Success! [1-9][0-9]* passed, 0 failed/, stdout + stderr)
  test.equal(exit, 0)
}

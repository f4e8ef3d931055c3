/**
 * Carries out the Dockerfile without Docker: each stage is a folder, COPY copies (of the context
 * only what .dockerignore lets through), RUN runs with that folder as the root. What the base image
 * would bring is what this machine has. Needs root, for mounts. Neighbours: dockerfile.ts,
 * in-root.sh.
 */
import { execFile, spawnSync } from 'node:child_process'
import {
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startChild } from '../support/child-processes.ts'
import type { Child } from '../support/child-processes.ts'
import { readStages } from './dockerfile.ts'
import { removeFolder } from '../support/remove-folder.ts'
import type { CopyStep, Stage, Step } from './dockerfile.ts'

export const projectRoot = fileURLToPath(new URL('../..', import.meta.url))
const inRoot = fileURLToPath(new URL('in-root.sh', import.meta.url))
const outputMax = 16 * 1024 * 1024

/** Why it cannot run here, false when it can. */
export function lackingForRehearsal(): string | false {
  if (process.getuid?.() !== 0) return 'mounts need root'
  return existsSync('/usr/bin/setpriv') ? false : 'setpriv is not installed'
}

export interface Finished {
  readonly exit: number
  readonly stdout: string
  readonly stderr: string
}

export class Rehearsal {
  readonly #folder = mkdtempSync(join(tmpdir(), 'pontoon-image-'))
  readonly #stages: ReadonlyMap<string, Stage>
  readonly #ignore = readFileSync(join(projectRoot, '.dockerignore'), 'utf8')

  constructor() {
    const stages = readStages(join(projectRoot, 'Dockerfile'))
    this.#stages = new Map(stages.map((stage) => [stage.name, stage]))
  }

  stage(name: string): Stage {
    const found = this.#stages.get(name)
    if (found === undefined) throw new Error(`the Dockerfile has no stage ${name}`)
    return found
  }

  /** The folder that is the root of that stage. */
  root(name: string): string {
    return join(this.#folder, name)
  }

  /** Builds a stage; what it builds on or copies from must have been built. `skip` leaves out RUNs. */
  async build(name: string, skip: (step: Step) => boolean = () => false): Promise<void> {
    const stage = this.stage(name)
    const root = this.root(name)
    // A stage goes on where the one below ended. Moved, not copied: that one has served.
    if (this.#stages.has(stage.from)) renameSync(this.root(stage.from), root)
    else mkdirSync(root)
    let at = this.#workdir(stage.from)
    for (const step of stage.steps) {
      if (step.keyword === 'WORKDIR') at = step.text
      mkdirSync(join(root, at), { recursive: true })
      if (step.copy !== undefined) this.#copy(step.copy, root, at)
      if (step.keyword !== 'RUN' || skip(step)) continue
      if (!(isInstall(step) && linkInstalled(join(root, at)))) await this.#run(root, at, step)
    }
  }

  /** As `docker run --read-only` would: the entrypoint's user, a root that cannot be written. */
  start(name: string, words: readonly string[], env: NodeJS.ProcessEnv): Promise<Child> {
    const [command, ...args] = this.#command(name, words)
    return startChild(command, args, {
      env: this.#env(name, env),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  exec(name: string, words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
    const [command, ...args] = this.#command(name, words)
    return execute(command, args, this.#env(name, env))
  }

  /** The distroless image has Node there. */
  provideNode(name: string): void {
    mkdirSync(join(this.root(name), 'nodejs/bin'), { recursive: true })
    symlinkSync(process.execPath, join(this.root(name), 'nodejs/bin/node'))
  }

  remove(): Promise<void> {
    return removeFolder(this.#folder)
  }

  /** In a process namespace of its own: the command is process 1, as in a container. */
  #command(name: string, words: readonly string[]): readonly [string, ...string[]] {
    const user = this.stage(name).steps.findLast((step) => step.keyword === 'USER')?.text ?? ''
    const [uid = ''] = user.split(':')
    const namespaces = ['--mount', '--pid', '--fork', '--kill-child']
    return ['unshare', ...namespaces, '/bin/sh', inRoot, this.root(name), 'ro', uid, ...words]
  }

  /** The stage's own ENV, and nothing of ours but the way to Node. */
  #env(name: string, given: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    const own = this.stage(name).steps.map((step) => step.variables)
    const { PATH: path, ...rest } = Object.assign({}, ...own)
    const paths = [path, process.env['PATH']].filter((one) => one !== undefined)
    return { ...rest, ...given, PATH: paths.join(':'), START_IN: this.#workdir(name) }
  }

  #workdir(name: string): string {
    const stage = this.#stages.get(name)
    if (stage === undefined) return '/'
    const own = stage.steps.findLast((step) => step.keyword === 'WORKDIR')
    return own?.text ?? this.#workdir(stage.from)
  }

  #copy({ from, chown, sources, destination }: CopyStep, root: string, at: string): void {
    for (const source of sources) {
      const path = from === undefined ? this.#fromContext(source) : join(this.root(from), source)
      const into = join(root, destination.startsWith('/') ? '' : at, destination)
      const folder = destination.endsWith('/')
      const target = folder ? join(into, basename(source)) : into
      mkdirSync(dirname(target), { recursive: true })
      if (basename(target) !== 'node_modules' || !link(path, target)) cpSync(path, target, keep)
      const [uid] = (chown ?? '').split(':')
      if (uid !== undefined && uid !== '') chownSync(target, Number(uid), Number(uid))
    }
  }

  /** .dockerignore lets through what it names with `!`, and nothing else. */
  #fromContext(source: string): string {
    const allowed = this.#ignore.split('\n').includes(`!${source}`)
    if (!allowed) throw new Error(`.dockerignore keeps ${source} from the builder`)
    return join(projectRoot, source)
  }

  async #run(root: string, at: string, { text, line }: Step): Promise<void> {
    const args = ['--mount', '--pid', '--fork', '/bin/sh', inRoot, root, 'rw', '0']
    const env = { ...process.env, START_IN: at }
    const done = await execute('unshare', [...args, '/bin/sh', '-c', text], env)
    if (done.exit === 0) return
    throw new Error(`line ${line} of the Dockerfile: ${text}\n${done.stdout}\n${done.stderr}`)
  }
}

function isInstall({ text }: Step): boolean {
  return /^npm ci\b/.test(text)
}

/**
 * `npm ci` is what a run of all checks begins with, from the same lock file; here its result is
 * taken over by links, half a gigabyte of it in a second. False where links are impossible.
 */
function linkInstalled(folder: string): boolean {
  const installed = join(projectRoot, 'node_modules')
  const target = join(folder, 'node_modules')
  if (!link(installed, target)) return false
  // npm writes this one in place, and must not write into ours.
  const index = '.package-lock.json'
  rmSync(join(target, index), { force: true })
  if (existsSync(join(installed, index))) cpSync(join(installed, index), join(target, index))
  return true
}

function link(from: string, to: string): boolean {
  const { status } = spawnSync('cp', ['-al', from, to], { stdio: 'ignore' })
  if (status !== 0) rmSync(to, { recursive: true, force: true })
  return status === 0
}

const keep = { recursive: true, preserveTimestamps: true, verbatimSymlinks: true } as const

function execute(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Finished> {
  return new Promise((resolve) => {
    execFile(command, [...args], { env, maxBuffer: outputMax }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? 1)
      resolve({ exit: Number.isNaN(code) ? 1 : code, stdout, stderr })
    })
  })
}

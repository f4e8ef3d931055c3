/** On what the figures were taken: machine, load and the commit of Pontoon. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'

export interface MachineFacts {
  readonly cpu: string
  readonly cores: number
  readonly memoryMiB: number
  readonly kernel: string
  readonly node: string
  /** Of the last minute. */
  readonly loadAverage: number
}

export function machineFacts(): MachineFacts {
  const cores = cpus()
  return {
    cpu: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryMiB: Math.round(totalmem() / 1_048_576),
    kernel: release(),
    node: process.version,
    loadAverage: loadavg()[0] ?? 0,
  }
}

/** The commit, marked when the tree differs from it; `unknown` outside of a clone. */
export function commit(): string {
  try {
    const options = { encoding: 'utf8', cwd: import.meta.dirname, stdio: 'pipe' } as const
    const head = execFileSync('git', ['rev-parse', '--short=12', 'HEAD'], options).trim()
    const changes = execFileSync('git', ['status', '--porcelain', '--', 'src'], options)
    return changes === '' ? head : `${head}+changes`
  } catch {
    return 'unknown'
  }
}

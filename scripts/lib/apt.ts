/**
 * Installs Debian packages without side effects: no service is started and no database cluster is
 * made. Needs root. Neighbour: requirements.ts, which knows what is lacking.
 */
import { spawn } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

const policyFile = '/usr/sbin/policy-rc.d'
const clusterConfig = '/etc/postgresql-common/createcluster.conf'
const attemptsMax = 3

export async function installPackages(packages: readonly string[]): Promise<void> {
  // Debian's hook: exit code 101 forbids a package to start its service.
  const ownPolicy = !existsSync(policyFile)
  if (ownPolicy) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    await withRetries(() => apt('update'))
    if (packages.some((name) => name.startsWith('postgresql'))) {
      await withRetries(() => install(['postgresql-common']))
      forbidCluster()
    }
    await withRetries(() => install(packages))
  } finally {
    if (ownPolicy) rmSync(policyFile, { force: true })
  }
}

/** Has to be in place between postgresql-common and the server package that makes the cluster. */
function forbidCluster(): void {
  if (!existsSync(clusterConfig)) return
  const hasSetting = /^\s*create_main_cluster\s*=/m.test(readFileSync(clusterConfig, 'utf8'))
  if (!hasSetting) appendFileSync(clusterConfig, '\ncreate_main_cluster = false\n')
}

function install(packages: readonly string[]): Promise<void> {
  return apt('install', '-y', '--no-install-recommends', ...packages)
}

/** Mirrors fail now and then, and another apt may hold the lock. */
async function withRetries(action: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action()
    } catch (error) {
      if (attempt === attemptsMax) throw error
      await new Promise((resolve) => setTimeout(resolve, attempt * 2_000))
    }
  }
}

function apt(...args: readonly string[]): Promise<void> {
  const options = ['-q', '-o', 'DPkg::Lock::Timeout=180', '-o', 'Dpkg::Options::=--force-confold']
  return new Promise((resolve, reject) => {
    const child = spawn('apt-get', [...options, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    })
    let output = ''
    const keep = (bytes: Buffer): void => {
      output = (output + bytes.toString()).slice(-4_000)
    }
    child.stdout.on('data', keep)
    child.stderr.on('data', keep)
    child.once('error', reject)
    child.once('close', (code) => {
      if (code === 0) resolve()
      else reject(new Error(`apt-get ${args.join(' ')} ended with ${code}:\n${output}`))
    })
  })
}

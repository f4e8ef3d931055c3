/**
 * Tells one process from every other, also from a later one that got the same pid: the pid, when
 * the kernel started it, in which boot and which pid namespace (proc(5)). folder-lock.ts uses it
 * to see whether the holder of a lock still lives.
 */
import { readFileSync, readlinkSync } from 'node:fs'

export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot at which the process started. */
  readonly startTicks: string
  /** Pids only mean the same within one boot and one pid namespace. */
  readonly realm: string
}

export function ownIdentity(): ProcessIdentity {
  return { pid: process.pid, startTicks: startTicksOf('self') ?? '', realm: ownRealm() }
}

/** `unknown` where this process cannot see: another container or machine. */
export function lifeOf(other: ProcessIdentity): 'alive' | 'dead' | 'unknown' {
  if (other.realm !== ownRealm() || other.startTicks === '') return 'unknown'
  return startTicksOf(other.pid) === other.startTicks ? 'alive' : 'dead'
}

function ownRealm(): string {
  const boot = attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
  const namespace = attempt(() => readlinkSync('/proc/self/ns/pid'))
  return boot === undefined || namespace === undefined ? 'unknown' : `${boot} ${namespace}`
}

function startTicksOf(pid: number | 'self'): string | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  if (stat === undefined) return undefined
  // The second field, the program's name in parentheses, may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // A zombie (Z) or dying (X) process holds nothing any more.
  return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19]
}

function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

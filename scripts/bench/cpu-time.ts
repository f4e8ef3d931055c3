/**
 * CPU time of a process, all its threads included, from /proc/PID/stat.
 * https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
import { readFileSync } from 'node:fs'

/** USER_HZ: the kernel's unit towards user space, 100 on every Linux that Node runs on. */
const ticksPerSecond = 100
/** Fields 14 and 15, counted from the state (field 3) on. */
const userTimeIndex = 11
const systemTimeIndex = 12
/** Fields 16 and 17: of children that have ended and were waited for. */
const childUserTimeIndex = 13
const childSystemTimeIndex = 14

/** User plus system time that the process has spent since it started. */
export function cpuTimeUs(pid: number): number {
  return parseCpuTimeUs(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}

/** What children have spent that have ended: of ours, or of the process. */
export function endedChildrenTimeUs(pid: number | 'self' = 'self'): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return sumUs(stat, childUserTimeIndex, childSystemTimeIndex)
}

export function parseCpuTimeUs(stat: string): number {
  return sumUs(stat, userTimeIndex, systemTimeIndex)
}

/** The name in field 2 may contain blanks and brackets, so fields count from the last bracket. */
function sumUs(stat: string, first: number, second: number): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[first]) + Number(fields[second])
  if (!Number.isFinite(ticks)) throw new Error(`not the format of /proc/PID/stat: ${stat}`)
  return (ticks * 1_000_000) / ticksPerSecond
}

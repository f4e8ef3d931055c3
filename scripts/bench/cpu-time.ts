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

/** User plus system time that the process has spent since it started. */
export function cpuTimeUs(pid: number): number {
  return parseCpuTimeUs(readFileSync(`/proc/${pid}/stat`, 'latin1'))
}

/** The name in field 2 may contain blanks and brackets, so fields count from the last bracket. */
export function parseCpuTimeUs(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[userTimeIndex]) + Number(fields[systemTimeIndex])
  if (!Number.isFinite(ticks)) throw new Error(`not the format of /proc/PID/stat: ${stat}`)
  return (ticks * 1_000_000) / ticksPerSecond
}

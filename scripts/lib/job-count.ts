/**
 * How many test files are run at a time. Most wait most of the time, for servers that start and for
 * time-outs of the product, so there may be more of them than cores. But they start hundreds of
 * processes: where that is dear, more files at a time come near the time-outs of their waits.
 * Neighbour: run-files.ts.
 */
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** In milliseconds: a third to one where processes are cheap, seven where they are dear. */
const cheapBelowMs = 4
const trials = 10
/** More cores than this have not been tried. */
const coresMax = 4

/** `startMs` is what starting a small process takes here. */
export function jobCount(
  cores: number = availableParallelism(),
  startMs: number = processStartMs(),
): number {
  const perCore = startMs < cheapBelowMs ? 2 : 1.5
  return Math.ceil(Math.min(cores, coresMax) * perCore)
}

/** The least of some trials: others may keep the machine busy meanwhile. */
function processStartMs(): number {
  const taken = Array.from({ length: trials }, () => {
    const startMs = performance.now()
    spawnSync('true')
    return performance.now() - startMs
  })
  return Math.min(...taken)
}

/**
 * The loops of a watch, such as one for each service: they look, wait and look again until the
 * watch is stopped. What a look is in the middle of then, such as a login, cannot be stopped and is
 * not waited for.
 */
import { setMaxListeners } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

export class WatchLoops {
  readonly #stop = new AbortController()
  #loops: readonly Promise<void>[] = []

  constructor() {
    // One for each loop is no leak, of which node warns from the eleventh on.
    setMaxListeners(0, this.#stop.signal)
  }

  get signal(): AbortSignal {
    return this.#stop.signal
  }

  start(loops: readonly Promise<void>[]): void {
    this.#loops = loops
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await Promise.all(this.#loops)
  }

  /** Null once it is stopped. A race with the signal would keep a listener for every look. */
  orStopped<T>(work: Promise<T>): Promise<T | null> {
    const { signal } = this
    return new Promise((resolve, reject) => {
      const onAbort = (): void => resolve(null)
      if (signal.aborted) onAbort()
      signal.addEventListener('abort', onAbort, { once: true })
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
    })
  }

  /** Until the next look, or the stop. */
  async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.signal, ref: false }).catch(() => undefined)
  }
}

/**
 * The route store of a single sidecar: one small JSON file in the state folder, replaced as a
 * whole and fsynced before anyone hears of the change. Memory follows the disk, never the other
 * way round. Its neighbours: state-format.ts (content), folder-lock.ts (one process per folder),
 * audit-log.ts (the other file of the folder).
 */
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Route } from '../routing/route.ts'
import { assert } from '../shared/assert.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import { systemErrorCode } from '../shared/system-error.ts'
import { replaceFile } from './durable-file.ts'
import { FolderLock } from './folder-lock.ts'
import type { RouteListener, RouteStore } from './route-store.ts'
import { emptyState, formatState, parseState, type State } from './state-format.ts'
import { decide, sameSwitch, type SwitchRecord } from './switch-record.ts'

export class FileStore implements RouteStore {
  readonly #path: string
  readonly #lock: FolderLock
  readonly #listeners = new Set<RouteListener>()
  #state: State
  /** Writes run one after the other, in the order they were asked for. */
  #lastWrite: Promise<unknown> = Promise.resolve()
  #closed = false

  private constructor(path: string, lock: FolderLock, state: State) {
    this.#path = path
    this.#lock = lock
    this.#state = state
  }

  /** Throws STATE_LOCKED, STATE_UNREADABLE or STATE_TOO_NEW. */
  static async open(folder: string): Promise<FileStore> {
    const lock = await lockFolder(folder)
    try {
      const path = join(folder, 'state.json')
      return new FileStore(path, lock, await readState(path))
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  get(service: string): Route | undefined {
    return this.#state.routes.get(service)
  }

  switchOf(service: string): SwitchRecord | undefined {
    return this.#state.switches.get(service)
  }

  ensure(service: string, initial: Route): Promise<Route> {
    return this.#inTurn(async () => this.get(service) ?? (await this.#putRoute(service, initial)))
  }

  compareAndSet(service: string, expectedEpoch: number, route: Route): Promise<Route> {
    return this.#inTurn(async () => {
      const stored = this.#atEpoch(service, expectedEpoch)
      if (route === stored) return stored
      assert(route.epoch === expectedEpoch + 1, 'every change makes exactly one new epoch')
      this.#refuseDuringSwitch(service)
      return await this.#putRoute(service, route)
    })
  }

  startSwitch(service: string, record: SwitchRecord): Promise<void> {
    return this.#inTurn(async () => {
      this.#atEpoch(service, record.epoch)
      this.#refuseDuringSwitch(service)
      await this.#putSwitch(service, record)
    })
  }

  startForced(service: string, record: SwitchRecord): Promise<void> {
    return this.#inTurn(async () => {
      this.#atEpoch(service, record.epoch)
      const found = this.switchOf(service)
      const isAsSeen = found?.id === record.over?.id && found?.state === record.over?.state
      if (!isAsSeen || found?.state === 'started') this.#refuseDuringSwitch(service)
      if (!isAsSeen) throw new PontoonError('SWITCH_DECIDED', `${service}: the switch is over`)
      await this.#putSwitch(service, record)
    })
  }

  withdrawForced(service: string, id: string): Promise<void> {
    return this.#inTurn(async () => {
      const { over, state } = sameSwitch(this.switchOf(service), id)
      if (state !== 'started')
        throw new PontoonError('SWITCH_DECIDED', `switch ${id} is ${state} already`)
      if (over === null) await this.#dropSwitch(service)
      else await this.#putSwitch(service, { ...over, over: null })
    })
  }

  commitSwitch(service: string, id: string, route: Route): Promise<Route> {
    return this.#inTurn(async () => {
      const found = sameSwitch(this.switchOf(service), id)
      if (found.state === 'committed') {
        await this.#put(service, this.#state)
        return this.#atEpoch(service, route.epoch)
      }
      const record = decide(found, 'committed')
      this.#atEpoch(service, record.epoch)
      assert(route.epoch === record.epoch + 1, 'a switch makes exactly one new epoch')
      assert(route.primary === record.to, 'a switch moves the primary where it was to go')
      return await this.#putRoute(service, route, record)
    })
  }

  abortSwitch(service: string, id: string): Promise<void> {
    return this.#inTurn(async () => {
      const record = sameSwitch(this.switchOf(service), id)
      if (record.state !== 'aborting') await this.#putSwitch(service, decide(record, 'aborting'))
    })
  }

  endSwitch(service: string, id: string): Promise<void> {
    return this.#inTurn(async () => {
      sameSwitch(this.switchOf(service), id)
      await this.#dropSwitch(service)
    })
  }

  watch(listener: RouteListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#lastWrite.catch(() => undefined)
    this.#listeners.clear()
    await this.#lock.release()
  }

  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    assert(!this.#closed, 'the store is closed')
    const mine = this.#lastWrite.then(work, work)
    this.#lastWrite = mine.catch(() => undefined)
    return mine
  }

  #atEpoch(service: string, epoch: number): Route {
    const stored = this.get(service)
    if (stored === undefined) {
      throw new PontoonError('NOT_FOUND', `the state knows no service "${service}"`)
    }
    if (stored.epoch === epoch) return stored
    throw new PontoonError(
      'EPOCH_STALE',
      `${service} is at epoch ${stored.epoch}, the change is based on ${epoch}`,
    )
  }

  #refuseDuringSwitch(service: string): void {
    const running = this.switchOf(service)
    if (running === undefined) return
    throw new PontoonError(
      'SWITCH_RUNNING',
      `${service}: ${running.kind} ${running.id} is under way (${running.state})`,
    )
  }

  async #putRoute(service: string, route: Route, record?: SwitchRecord): Promise<Route> {
    const { routes, switches } = this.#state
    const kept = Object.freeze({ ...route })
    await this.#put(service, {
      routes: new Map(routes).set(service, kept),
      switches: record === undefined ? switches : new Map(switches).set(service, record),
    })
    return kept
  }

  async #putSwitch(service: string, record: SwitchRecord): Promise<void> {
    const switches = new Map(this.#state.switches).set(service, Object.freeze({ ...record }))
    await this.#put(service, { ...this.#state, switches })
  }

  async #dropSwitch(service: string): Promise<void> {
    const switches = new Map(this.#state.switches)
    switches.delete(service)
    await this.#put(service, { ...this.#state, switches })
  }

  async #put(service: string, state: State): Promise<void> {
    await this.#lock.verify()
    try {
      await replaceFile(this.#path, formatState(state))
    } catch (error) {
      await this.#followDisk(service)
      throw unwritable(this.#path, error)
    }
    this.#publish(service, state)
  }

  /** A write that failed after its rename is there all the same; the caller still hears of it. */
  async #followDisk(service: string): Promise<void> {
    try {
      this.#publish(service, await readState(this.#path))
    } catch {
      // The caller gets the error of the write, which names the same file.
    }
  }

  #publish(service: string, state: State): void {
    const before = this.get(service)
    this.#state = state
    const route = state.routes.get(service)
    if (route === undefined || route.epoch === before?.epoch) return
    for (const listener of this.#listeners) listener(service, route)
  }
}

async function lockFolder(folder: string): Promise<FolderLock> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    return await FolderLock.acquire(folder)
  } catch (error) {
    throw error instanceof PontoonError ? error : unwritable(folder, error)
  }
}

async function readState(path: string): Promise<State> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return emptyState
    const reason = toPontoonError(error).message
    throw new PontoonError('STATE_UNREADABLE', `${path} cannot be read: ${reason}`, {
      cause: error,
    })
  }
  return parseState(text, path)
}

function unwritable(path: string, error: unknown): PontoonError {
  const reason = toPontoonError(error).message
  return new PontoonError('STATE_UNREADABLE', `${path} cannot be written: ${reason}`, {
    cause: error,
  })
}

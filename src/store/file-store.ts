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
import { formatState, parseState, type Routes } from './state-format.ts'

export class FileStore implements RouteStore {
  readonly #path: string
  readonly #lock: FolderLock
  readonly #listeners = new Set<RouteListener>()
  #routes: Routes
  /** Writes run one after the other, in the order they were asked for. */
  #lastWrite: Promise<unknown> = Promise.resolve()
  #closed = false

  private constructor(path: string, lock: FolderLock, routes: Routes) {
    this.#path = path
    this.#lock = lock
    this.#routes = routes
  }

  /** Throws STATE_LOCKED, STATE_UNREADABLE or STATE_TOO_NEW. */
  static async open(folder: string): Promise<FileStore> {
    const lock = await lockFolder(folder)
    try {
      const path = join(folder, 'state.json')
      return new FileStore(path, lock, await readRoutes(path))
    } catch (error) {
      await lock.release()
      throw error
    }
  }

  get(service: string): Route | undefined {
    return this.#routes.get(service)
  }

  ensure(service: string, initial: Route): Promise<Route> {
    return this.#inTurn(
      async () => this.#routes.get(service) ?? (await this.#put(service, initial)),
    )
  }

  compareAndSet(service: string, expectedEpoch: number, route: Route): Promise<Route> {
    return this.#inTurn(async () => {
      const stored = this.#routes.get(service)
      if (stored === undefined) {
        throw new PontoonError('NOT_FOUND', `the state knows no service "${service}"`)
      }
      if (stored.epoch !== expectedEpoch) {
        throw new PontoonError(
          'EPOCH_STALE',
          `${service} is at epoch ${stored.epoch}, the change is based on ${expectedEpoch}`,
        )
      }
      if (route === stored) return stored
      assert(route.epoch === expectedEpoch + 1, 'every change makes exactly one new epoch')
      return await this.#put(service, route)
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

  async #put(service: string, route: Route): Promise<Route> {
    const routes = new Map(this.#routes).set(service, Object.freeze({ ...route }))
    await this.#lock.verify()
    try {
      await replaceFile(this.#path, formatState(routes))
    } catch (error) {
      await this.#followDisk(service)
      throw unwritable(this.#path, error)
    }
    this.#publish(service, routes)
    return route
  }

  /** A write that failed after its rename is there all the same; the caller still hears of it. */
  async #followDisk(service: string): Promise<void> {
    try {
      this.#publish(service, await readRoutes(this.#path))
    } catch {
      // The caller gets the error of the write, which names the same file.
    }
  }

  #publish(service: string, routes: Routes): void {
    const before = this.#routes.get(service)
    this.#routes = routes
    const route = routes.get(service)
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

async function readRoutes(path: string): Promise<Routes> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return new Map()
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

/**
 * Where the routes of all services are kept. The epoch is the key of every change: who changes a
 * route says on which epoch the change is based, and of two who do so at once, one loses. Gates
 * are never stored. file-store.ts is the store of a single sidecar.
 */
import type { Route } from '../routing/route.ts'

/** Called after a route has become durable. */
export type RouteListener = (service: string, route: Route) => void

export interface RouteStore {
  /** The stored route, or undefined for a service that the store does not know. */
  get(service: string): Route | undefined
  /** The stored route; stores `initial` first for a service that is new. */
  ensure(service: string, initial: Route): Promise<Route>
  /**
   * Makes `route` durable if the stored epoch is still the expected one.
   * Throws EPOCH_STALE, or NOT_FOUND for a service that the store does not know.
   */
  compareAndSet(service: string, expectedEpoch: number, route: Route): Promise<Route>
  /** Hears of every change; returns how to stop. */
  watch(listener: RouteListener): () => void
  close(): Promise<void>
}

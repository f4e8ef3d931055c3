/**
 * Where the routes of all services are kept. The epoch is the key of every change: who changes a
 * route says on which epoch the change is based, and of two who do so at once, one loses. Gates
 * are never stored. file-store.ts is the store of a single sidecar.
 *
 * Beside the route there is the record of the switch under way, if any (switch-record.ts).
 */
import type { Route } from '../routing/route.ts'
import type { SwitchRecord } from './switch-record.ts'

/** Called after a route has become durable. */
export type RouteListener = (service: string, route: Route) => void

export interface RouteStore {
  /** The stored route, or undefined for a service that the store does not know. */
  get(service: string): Route | undefined
  /** The stored route; stores `initial` first for a service that is new. */
  ensure(service: string, initial: Route): Promise<Route>
  /**
   * Makes `route` durable if the stored epoch is still the expected one.
   * Throws EPOCH_STALE, SWITCH_RUNNING while a switch is under way, or NOT_FOUND for a service
   * that the store does not know.
   */
  compareAndSet(service: string, expectedEpoch: number, route: Route): Promise<Route>
  /** The switch of the service that is under way or not yet carried out to its end. */
  switchOf(service: string): SwitchRecord | undefined
  /** Throws EPOCH_STALE, SWITCH_RUNNING or NOT_FOUND. */
  startSwitch(service: string, record: SwitchRecord): Promise<void>
  /**
   * As startSwitch(), for a forced one: in the place of `record.over` where there is one, which has
   * to be the one that the store knows, and decided.
   */
  startForced(service: string, record: SwitchRecord): Promise<void>
  /** Takes back a forced one that is not committed: `over` is there again. Throws SWITCH_DECIDED. */
  withdrawForced(service: string, id: string): Promise<void>
  /**
   * The commit point: makes `route` durable together with `started → committed`, in one write.
   * Settles also when it is so already: a write that has failed may be there, and is made durable.
   * Throws SWITCH_DECIDED when the switch was aborted or is over.
   */
  commitSwitch(service: string, id: string, route: Route): Promise<Route>
  /** `started → aborting`; settles also when it is so already. Throws SWITCH_DECIDED. */
  abortSwitch(service: string, id: string): Promise<void>
  /** Forgets a switch that was carried out or undone. Throws SWITCH_DECIDED for another one. */
  endSwitch(service: string, id: string): Promise<void>
  /** Hears of every change; returns how to stop. */
  watch(listener: RouteListener): () => void
  close(): Promise<void>
}

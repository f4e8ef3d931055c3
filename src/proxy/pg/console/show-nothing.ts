/**
 * Tables of what Pontoon has none of: caches of names and of memory, peers. They have PgBouncer's
 * columns and no row, so that a tool which reads every table goes on.
 */
import { columnsOf, table, type Columns } from './result.ts'

const dnsHosts: Columns = [
  ['hostname', 'text'],
  ['ttl', 'int8'],
  ['addrs', 'text'],
]
const dnsZones: Columns = [
  ['zonename', 'text'],
  ['serial', 'int8'],
  ['count', 'int4'],
]
const memory: Columns = [
  ['name', 'text'],
  ...columnsOf('int4', 'size used free'),
  ['memtotal', 'int4'],
]
const peers: Columns = [
  ['peer_id', 'int4'],
  ['host', 'text'],
  ...columnsOf('int4', 'port pool_size'),
]
const peerPools = columnsOf(
  'int4',
  'peer_id cl_active_cancel_req cl_waiting_cancel_req sv_active_cancel sv_login',
)

export const showNothing: Readonly<Record<string, () => Buffer[]>> = {
  dns_hosts: () => table(dnsHosts, []),
  dns_zones: () => table(dnsZones, []),
  mem: () => table(memory, []),
  peer_pools: () => table(peerPools, []),
  peers: () => table(peers, []),
}

/** Who a session is: what its login has told and what it was given then. */
import type { ClientAddress } from '../../net/client-address.ts'
import type { Seat } from '../../routing/balance.ts'
import type { Classifier } from '../../routing/classify.ts'
import type { ServerKinds } from './pool-set.ts'

export interface SessionIdentity {
  readonly id: number
  readonly user: string
  readonly database: string
  readonly applicationName: string
  readonly from: ClientAddress
  readonly seat: Seat
  readonly cancelPid: number
  readonly cancelSecret: Buffer
  /** Recognises reads with what is known of this database. */
  readonly classifier: Classifier
  /** The pools it may take servers from. */
  readonly kinds: ServerKinds
  /** It speaks to a WAL sender, which stays with it. */
  readonly isReplication: boolean
}

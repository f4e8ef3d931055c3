/** Relays on every way of a migration: Pontoon to either side, and each side to the other. */
import { startRelay, type Relay } from './relay.ts'

type Side = 'source' | 'target'
interface Address {
  readonly host: string
  readonly port: number
}

export class SwitchNetwork {
  /** Pontoon's ways. */
  readonly sides: Readonly<Record<Side, Relay>>
  /** The ways of replication towards each side. */
  readonly replication: Readonly<Record<Side, Relay>>

  private constructor(sides: Record<Side, Relay>, replication: Record<Side, Relay>) {
    this.sides = sides
    this.replication = replication
  }

  static async start(source: Address, target: Address): Promise<SwitchNetwork> {
    const both = async (): Promise<Record<Side, Relay>> => ({
      source: await startRelay({ to: source }),
      target: await startRelay({ to: target }),
    })
    return new SwitchNetwork(await both(), await both())
  }

  portsOf(side: Side): { readonly port: number; readonly portSeenFromOtherSide: number } {
    return { port: this.sides[side].port, portSeenFromOtherSide: this.replication[side].port }
  }

  async close(): Promise<void> {
    const all = [...Object.values(this.sides), ...Object.values(this.replication)]
    await Promise.all(all.map((relay) => relay.close()))
  }
}

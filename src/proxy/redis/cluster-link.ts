/**
 * The end of a cluster connection that a RedisServer holds: a socket to look at, but what is written
 * to it goes to a ClusterConnection, and what that pushes is read from it. So everything above,
 * pools, sessions and transactions, works with a cluster as with one server.
 */
import { Socket } from 'node:net'

export interface LinkOwner {
  /** `taken` is called when more may come. */
  receive(bytes: Buffer, taken: () => void): void
  /** The other end reads again. */
  resume(): void
  /** The other end has left, and hears nothing more: what it has sent is still taken, at once. */
  leave(): void
  /** That was all of it. */
  finish(): void
  /** At once. */
  close(): void
}

export class ClusterLink extends Socket {
  owner: LinkOwner | null = null

  override _read(): void {
    this.owner?.resume()
  }

  override _write(bytes: Buffer, _encoding: string, taken: (error?: Error | null) => void): void {
    this.#give(bytes, taken)
  }

  override _writev(
    chunks: readonly { readonly chunk: Buffer }[],
    taken: (error?: Error | null) => void,
  ): void {
    this.#give(Buffer.concat(chunks.map(({ chunk }) => chunk)), taken)
  }

  #give(bytes: Buffer, taken: (error?: Error | null) => void): void {
    if (this.owner === null) taken(new Error('the cluster connection is closed'))
    else this.owner.receive(bytes, taken)
  }

  override end(): this {
    this.owner?.leave()
    return super.end()
  }

  override _final(done: (error?: Error | null) => void): void {
    const { owner } = this
    // It outlives this end.
    this.owner = null
    owner?.finish()
    done()
    setImmediate(() => this.destroy())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.owner?.close()
    this.owner = null
    // eslint-disable-next-line no-underscore-dangle -- a socket says itself that it is closed, its stream does not
    super._destroy(error, done)
  }
}

/**
 * Watches a server while no client is linked. Parameter changes and notices may come at any time
 * and whole; anything else means that the server is not what we believe, so it is closed.
 */
import type { PgServer } from '../../net/pg/server.ts'
import type { TransportHandler } from '../../net/transport.ts'
import { PontoonError } from '../../shared/errors.ts'
import { backend, headerBytes } from '../../wire/pg/protocol.ts'
import { readParameterStatus } from '../../wire/pg/read.ts'

export class IdleServerHandler implements TransportHandler {
  readonly #server: PgServer
  readonly #onLost: (server: PgServer) => void

  constructor(server: PgServer, onLost: (server: PgServer) => void) {
    this.#server = server
    this.#onLost = onLost
  }

  onBytes(bytes: Buffer, end: number): void {
    try {
      if (!this.#isHarmless(bytes, end)) this.#server.transport.destroy()
    } catch {
      this.#server.transport.destroy()
    }
  }

  #isHarmless(bytes: Buffer, end: number): boolean {
    let offset = 0
    while (offset < end) {
      if (end - offset < headerBytes) return false
      const messageEnd = offset + 1 + bytes.readInt32BE(offset + 1)
      if (messageEnd > end || messageEnd < offset + headerBytes) return false
      if (bytes[offset] === backend.parameterStatus) {
        this.#server.report(...readParameterStatus(bytes, offset + headerBytes, messageEnd))
      } else if (bytes[offset] !== backend.noticeResponse) return false
      offset = messageEnd
    }
    return true
  }

  onCongested(): void {
    this.#server.transport.destroy(new PontoonError('SERVER_LOST', 'an idle server reads nothing'))
  }

  onDrained(): void {
    // Nothing waits for an idle server.
  }

  onClosed(): void {
    this.#onLost(this.#server)
  }
}

/** Tells sockets that nobody serves why, and sees them closed whatever their clients do. */
import type { Carrier } from '../../net/carrier.ts'
import type { PontoonError } from '../../shared/errors.ts'
import { fatalResponse } from './errors.ts'

/** How long a client that was refused may take to go. */
const refusalMs = 5_000

/** So many are told; in a storm the rest is closed without a word. */
const refusedMax = 1_000

export class Refusals {
  #open = 0

  refuse(socket: Carrier, error: PontoonError): void {
    if (this.#open >= refusedMax) {
      socket.destroy()
      return
    }
    this.#open += 1
    const timer = setTimeout(() => socket.destroy(), refusalMs)
    socket.once('close', () => {
      this.#open -= 1
      clearTimeout(timer)
    })
    socket.resume()
    socket.end(fatalResponse(error))
  }
}

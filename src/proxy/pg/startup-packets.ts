/**
 * Startup packets decoded before. An application's clients send the same one at every connection,
 * and to decode it and order its settings costs more than to find it again. What it says of the
 * session (`startupSettings`) is remembered with it.
 */
import { readStartupPacket, type StartupPacket } from '../../wire/pg/read.ts'
import { startupSettings, type StartupSettings } from './settings.ts'

/** Longer ones are read anew each time. */
const bodyBytesMax = 1_024

/** Clients that all differ make it begin anew. */
const packetsMax = 200

type Parameters = ReadonlyMap<string, string>

export class StartupPackets {
  readonly #known = new Map<string, StartupPacket>()
  readonly #settings = new WeakMap<Parameters, StartupSettings>()

  /** `body` is the packet without its length word. Throws as readStartupPacket. */
  read(body: Buffer): StartupPacket {
    if (body.length > bodyBytesMax) return readStartupPacket(body)
    const text = body.toString('latin1')
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const packet = readStartupPacket(body)
    // The others are short, and a cancel request is secret.
    if (packet.kind !== 'startup') return packet
    if (this.#known.size >= packetsMax) this.#known.clear()
    this.#known.set(text, packet)
    return packet
  }

  settings(parameters: Parameters): StartupSettings {
    let settings = this.#settings.get(parameters)
    if (settings === undefined) {
      settings = startupSettings(parameters)
      this.#settings.set(parameters, settings)
    }
    return settings
  }
}

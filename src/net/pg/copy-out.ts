/**
 * What a server sends for COPY … TO STDOUT, read without making anything of a row: runs of whole
 * and partial CopyData messages go on as the bytes they are, rows are counted by hopping from
 * header to header. All else (CopyDone, errors, notices) is handed over as whole messages.
 */
import { PontoonError } from '../../shared/errors.ts'
import { backend, headerBytes } from '../../wire/pg/protocol.ts'

export interface CopyOutSink {
  /** Bytes of CopyData messages, headers included; used again after the call. */
  data(bytes: Buffer, start: number, end: number): void
  /** A message that is no CopyData, without its header. */
  control(type: number, body: Buffer): void
}

/** Errors and notices are short; everything else that is no data is shorter. */
const controlBytesMax = 1024 * 1024
const lengthMin = 4

export class CopyOutReader {
  readonly #sink: CopyOutSink
  readonly #head = Buffer.alloc(headerBytes)
  #headBytes = 0
  /** What is still to come of the message at hand. */
  #leftBytes = 0
  #type = 0
  #control: Buffer[] = []
  #messages = 0

  constructor(sink: CopyOutSink) {
    this.#sink = sink
  }

  /** CopyData messages begun so far: rows in text format; in binary, one more at the end. */
  get messages(): number {
    return this.#messages
  }

  /** Throws SERVER_PROTOCOL. */
  receive(bytes: Buffer, start: number, end: number): void {
    let at = start
    while (at < end) {
      if (this.#leftBytes > 0) at = this.#goOn(bytes, at, end)
      else if (this.#headBytes > 0 || end - at < headerBytes) at = this.#gatherHead(bytes, at, end)
      else at = this.#hop(bytes, at, end)
    }
  }

  /** As many messages as begin here with a whole header, up to one that is no data. */
  #hop(bytes: Buffer, start: number, end: number): number {
    let at = start
    while (end - at >= headerBytes && bytes[at] === backend.copyData) {
      at += 1 + checkedLength(bytes, at)
      this.#messages += 1
    }
    if (at > end) {
      this.#type = backend.copyData
      this.#leftBytes = at - end
      at = end
    }
    if (at > start) {
      this.#sink.data(bytes, start, at)
      return at
    }
    this.#begin(bytes, at)
    return at + headerBytes
  }

  #gatherHead(bytes: Buffer, start: number, end: number): number {
    const taken = Math.min(headerBytes - this.#headBytes, end - start)
    bytes.copy(this.#head, this.#headBytes, start, start + taken)
    this.#headBytes += taken
    if (this.#headBytes === headerBytes) {
      this.#headBytes = 0
      this.#begin(this.#head, 0)
    }
    return start + taken
  }

  #begin(bytes: Buffer, at: number): void {
    this.#type = bytes[at] ?? 0
    this.#leftBytes = checkedLength(bytes, at) - lengthMin
    if (this.#type === backend.copyData) {
      this.#messages += 1
      this.#sink.data(bytes, at, at + headerBytes)
      return
    }
    if (this.#leftBytes > controlBytesMax)
      throw new PontoonError('SERVER_PROTOCOL', 'a message between rows is too long')
    if (this.#leftBytes === 0) this.#sink.control(this.#type, Buffer.alloc(0))
  }

  #goOn(bytes: Buffer, start: number, end: number): number {
    const stop = Math.min(end, start + this.#leftBytes)
    this.#leftBytes -= stop - start
    if (this.#type === backend.copyData) {
      this.#sink.data(bytes, start, stop)
      return stop
    }
    this.#control.push(Buffer.from(bytes.subarray(start, stop)))
    if (this.#leftBytes > 0) return stop
    const body = Buffer.concat(this.#control)
    this.#control = []
    this.#sink.control(this.#type, body)
    return stop
  }
}

function checkedLength(bytes: Buffer, at: number): number {
  const length = bytes.readInt32BE(at + 1)
  if (length < lengthMin) throw new PontoonError('SERVER_PROTOCOL', 'a message has a wrong length')
  return length
}

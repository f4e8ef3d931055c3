/**
 * TLS contexts made from files that may be replaced while Pontoon runs: written anew, renamed over,
 * or swapped by a symbolic link, as Kubernetes and cert-manager do. Looked at once a second; new
 * files count for the next handshake. What cannot be used changes nothing but is told: in the log,
 * in `problem`, and from there in metrics, readiness notes and the answer to a reload.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Clock } from '../shared/clock.ts'
import { PontoonError, toPontoonError } from '../shared/errors.ts'
import type { Log } from '../shared/log.ts'
import { systemErrorCode } from '../shared/system-error.ts'

/** Made from files, with the dates of the certificate that we show; null without one. */
export interface FromFiles<Made> {
  readonly made: Made
  readonly validFromMs: number | null
  readonly expiresMs: number | null
}

export interface TlsFilesOptions<Made> {
  /** For people: `the client leg`, `the source`. */
  readonly name: string
  /** Reads the files and throws CONFIG_INVALID when they are of no use. */
  readonly make: () => FromFiles<Made>
  /** What `make` reads. */
  readonly files: readonly string[]
  readonly clock: Clock
  readonly log: Log
}

export class TlsFiles<Made> {
  readonly #options: TlsFilesOptions<Made>
  #current: FromFiles<Made>
  /** Which files `#current` was made from. */
  #identity: string
  /** Which files could not be used when last looked at; '' when all is well. */
  #failedIdentity = ''
  #problem: string | null = null

  /** Throws what `make` throws: nothing starts with files that are wrong. */
  constructor(options: TlsFilesOptions<Made>) {
    this.#options = options
    this.#identity = identityOf(options.files)
    this.#current = options.make()
  }

  get hasFiles(): boolean {
    return this.#options.files.length > 0
  }

  get current(): Made {
    return this.#current.made
  }

  get expiresMs(): number | null {
    return this.#current.expiresMs
  }

  /** Why what lies in the files is not in use; null when it is. */
  get problem(): string | null {
    return this.#problem
  }

  /**
   * Takes what has changed. Of two files that belong together one is replaced first, so a failure
   * counts only when it is still there at the second look, or at once when somebody `asks`.
   */
  look(asks = false): void {
    const { files } = this.#options
    const identity = identityOf(files)
    if (identity === this.#identity) {
      this.#failedIdentity = ''
      this.#problem = null
      return
    }
    try {
      const next = this.#options.make()
      this.#refuseUntimely(next)
      this.#current = next
      this.#identity = identity
      this.#failedIdentity = ''
      this.#problem = null
      this.#options.log.info({ files }, `new TLS files are in use for ${this.#options.name}`)
    } catch (thrown) {
      this.#failed(identity, toPontoonError(thrown), asks)
    }
  }

  #failed(identity: string, { code, message }: PontoonError, asks: boolean): void {
    const isKnown = identity === this.#failedIdentity
    this.#failedIdentity = identity
    if (!isKnown && !asks) return
    const problem = `TLS files of ${this.#options.name}: ${message}`
    if (this.#problem === problem) return
    this.#problem = problem
    this.#options.log.error({ code, error: message }, `${problem}; the ones before stay in use`)
  }

  /**
   * One that has ended, or is yet to begin, is no improvement on one that is good now. It is looked
   * at again each time, so that it is taken when its time has come.
   */
  #refuseUntimely(next: FromFiles<Made>): void {
    const nowMs = this.#options.clock.wallMs()
    const wrong = untimely(next, nowMs)
    if (wrong === null || untimely(this.#current, nowMs) !== null) return
    throw new PontoonError('CONFIG_INVALID', `the new certificate ${wrong}`)
  }
}

/** What is wrong with the dates; null when nothing is. */
function untimely({ validFromMs, expiresMs }: FromFiles<unknown>, nowMs: number): string | null {
  if (expiresMs !== null && expiresMs <= nowMs) return 'has expired already'
  if (validFromMs === null || validFromMs <= nowMs) return null
  return `is not valid before ${new Date(validFromMs).toUTCString()}`
}

function identityOf(files: readonly string[]): string {
  return files.map(identityOfOne).join(' ')
}

/** Follows symbolic links; a file that cannot be reached has an identity too. */
function identityOfOne(file: string): string {
  try {
    const { dev, ino, size, mtimeNs } = statSync(file, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}`
  } catch (error) {
    return systemErrorCode(error) ?? 'unreachable'
  }
}

export function readPem(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    throw new PontoonError(
      'CONFIG_INVALID',
      `cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    )
  }
}

/** The first certificate of a file. Node takes a file without any for an empty list of CAs. */
export function firstCertificate(file: string, pem: Buffer): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new PontoonError('CONFIG_INVALID', `${file} holds no certificate`, { cause: error })
  }
}

/**
 * A password in a file that may be replaced at any time: written anew, renamed over, or swapped by
 * a symbolic link, as Kubernetes does with mounted secrets. Looked at whenever a login needs it;
 * read only if it is another file than before.
 */
import { readFile, stat } from 'node:fs/promises'
import { PontoonError } from '../../shared/errors.ts'
import type { Log } from '../../shared/log.ts'
import { secretUnavailable, type SecretSource } from './secret-source.ts'

const fileBytesMax = 65_536

interface Held {
  readonly value: string
  /** Which file it was read from: follows symbolic links. */
  readonly identity: string
}

export class FileSecret implements SecretSource {
  readonly #file: string
  readonly #log: Log
  #held: Held | null = null
  /** In the file before; still right when the file was changed ahead of the server. */
  #previous: string | null = null

  constructor(file: string, log: Log) {
    this.#file = file
    this.#log = log
  }

  async get(): Promise<string> {
    try {
      return (await this.#read(false)).value
    } catch (thrown) {
      const error = secretUnavailable(`the password in ${this.#file}`, thrown)
      if (this.#held === null) throw error
      // Between the removal of the old file and the arrival of the new one.
      this.#log.warn({ code: error.code, error: error.message }, 'a secret file was not read again')
      return this.#held.value
    }
  }

  async renew(refused: string): Promise<string | null> {
    try {
      const { value } = await this.#read(true)
      if (value !== refused) return value
    } catch {
      // What was in the file before is left to try.
    }
    return this.#previous === refused ? null : this.#previous
  }

  async #read(anew: boolean): Promise<Held> {
    const { dev, ino, size, mtimeNs } = await stat(this.#file, { bigint: true })
    const identity = `${dev}:${ino}:${size}:${mtimeNs}`
    if (!anew && this.#held?.identity === identity) return this.#held
    if (size > fileBytesMax)
      throw new PontoonError('SECRET_UNAVAILABLE', `${this.#file} is too large for a secret`)
    // Editors and `echo` end a file with a newline that is no part of the secret.
    const value = (await readFile(this.#file, 'utf8')).replace(/\r?\n$/, '')
    if (value === '') throw new PontoonError('SECRET_UNAVAILABLE', `${this.#file} is empty`)
    if (this.#held !== null && this.#held.value !== value) this.#previous = this.#held.value
    this.#held = { value, identity }
    return this.#held
  }
}

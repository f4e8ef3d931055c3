/** Commands and replies that Pontoon writes itself. */

/** A command as clients and servers send it: an array of bulk strings. */
export function command(...words: readonly (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${words.length}\r\n`)]
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd)
  }
  return Buffer.concat(parts)
}

const lineEnd = Buffer.from('\r\n')

/** Every server takes it in every state. */
export const resetRequest = command('RESET')
export const okReply: Buffer = Buffer.from('+OK\r\n')
export const resetReply: Buffer = Buffer.from('+RESET\r\n')

/** `text` begins with the code word of the error, as `ERR`. It stays on one line. */
export function errorReply(text: string): Buffer {
  return Buffer.from(`-${text.replace(/[\r\n]+/g, ' ')}\r\n`)
}

export function bulkReply(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, lineEnd])
}

export function integerReply(value: number): Buffer {
  return Buffer.from(`:${value}\r\n`)
}

/** The null of each version of the protocol. */
export function nullReply(version: 2 | 3): Buffer {
  return Buffer.from(version === 3 ? '_\r\n' : '$-1\r\n')
}

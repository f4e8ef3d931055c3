/**
 * All sockets of the process read into this one buffer: a handler never keeps the bytes, and
 * reads are handled one at a time.
 */
export const readBufferBytes = 64 * 1024

export const sharedReadBuffer = Buffer.allocUnsafeSlow(readBufferBytes)

/** Reads a text file backwards, line by line, in bounded pieces. audit-log.ts uses it. */
import type { FileHandle } from 'node:fs/promises'

const newline = 0x0a
const pieceBytes = 65_536
/** A longer line is no entry of ours; it is skipped instead of gathered in memory. */
const lineBytesMax = 4 * 1_048_576

/** Last line first, without line ends. A last line without an end is given too. */
export async function* linesFromEnd(file: FileHandle): AsyncGenerator<string> {
  let position = (await file.stat()).size
  // The beginning of the line is still to come: its later pieces, in file order.
  let pieces: Buffer[] = []
  let gathered = 0
  while (position > 0) {
    const length = Math.min(pieceBytes, position)
    position -= length
    let rest = await readPiece(file, position, length)
    for (let at = rest.lastIndexOf(newline); at >= 0; at = rest.lastIndexOf(newline)) {
      yield* lineOf(rest.subarray(at + 1), pieces, gathered)
      pieces = []
      gathered = 0
      rest = rest.subarray(0, at)
    }
    gathered += rest.length
    pieces = gathered > lineBytesMax ? [] : [rest, ...pieces]
  }
  yield* lineOf(Buffer.alloc(0), pieces, gathered)
}

function* lineOf(start: Buffer, pieces: readonly Buffer[], gathered: number): Generator<string> {
  const bytes = start.length + gathered
  if (bytes > 0 && bytes <= lineBytesMax) yield Buffer.concat([start, ...pieces]).toString('utf8')
}

async function readPiece(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const piece = Buffer.alloc(length)
  const { bytesRead } = await file.read(piece, 0, length, position)
  return piece.subarray(0, bytesRead)
}

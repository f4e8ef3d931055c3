/** An inline command, a line as typed by hand, in the form in which programs send it. */
import { PontoonError } from '../../shared/errors.ts'
import { splitInline } from './arguments.ts'
import { command } from './write.ts'

export function usualForm(line: Buffer): Buffer {
  const words = splitInline(line)
  if (words === null) throw new PontoonError('CLIENT_PROTOCOL', 'unbalanced quotes in request')
  return command(...words)
}

/** A subscriber of the admin API's event stream. */
import type { Test } from 'tap'

export interface Received {
  readonly kind: string
  readonly id: string | undefined
  readonly data: Record<string, unknown>
}

/** Reads the stream in the background until the test is over. */
export async function subscribe(
  test: Test,
  adminAddress: string,
  headers: Record<string, string> = {},
): Promise<{ until: (kind: string) => Promise<Received>; status: number }> {
  const abort = new AbortController()
  const answer = await fetch(`${adminAddress}/v1/events`, {
    headers,
    signal: abort.signal,
  })
  test.teardown(() => abort.abort())
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  const queue: Received[] = []
  const until = async (kind: string): Promise<Received> => {
    for (;;) {
      const found = queue.findIndex((event) => event.kind === kind)
      const event = queue[found]
      if (event !== undefined) {
        queue.splice(0, found + 1)
        return event
      }
      const { done, value } = (await reader?.read()) ?? { done: true, value: '' }
      if (done) throw new Error('the stream has ended')
      const blocks = (rest + value).split('\n\n')
      rest = blocks.pop() ?? ''
      queue.push(...blocks.flatMap(parseEvent))
    }
  }
  return { until, status: answer.status }
}

function parseEvent(block: string): Received[] {
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
  const kind = field('event')
  const data: Record<string, unknown> = JSON.parse(field('data') ?? '{}')
  return kind === undefined ? [] : [{ kind, id: field('id'), data }]
}

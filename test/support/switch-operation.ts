/** Starts a cutover or rollback over the admin API and waits for its end. */
import type { Operation } from '../../src/control/switches.ts'
import { until } from './until.ts'

/** Tests that are about the deadline set it; a forced switch has none. */
const patience = { deadlineMs: 30_000 }

export async function runSwitch(
  adminUrl: string,
  kind: 'cutover' | 'rollback',
  body: object = {},
  deadlineMs = 60_000,
  service = 'orders',
): Promise<Operation> {
  const answer = await fetch(`${adminUrl}/v1/services/${service}/${kind}`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify('primaryLost' in body ? body : { ...patience, ...body }),
  })
  let operation: Operation = JSON.parse(await answer.text())
  if (answer.status !== 202) throw new Error(JSON.stringify(operation))
  await until(
    async () => {
      const polled = await fetch(`${adminUrl}/v1/operations/${operation.id}`)
      operation = JSON.parse(await polled.text())
      return operation.state !== 'running'
    },
    `the end of the ${kind}`,
    deadlineMs,
  )
  return operation
}

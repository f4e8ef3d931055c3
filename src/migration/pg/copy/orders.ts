/** What an operator asks of a running copy, through a file in its folder: pause, resume, abort. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { replaceFile } from '../../../store/durable-file.ts'
import { systemErrorCode } from '../../../shared/system-error.ts'

export const orders = ['pause', 'resume', 'abort'] as const
export type Order = (typeof orders)[number]

const lookEveryMs = 300

export async function giveOrder(folder: string, order: Order): Promise<void> {
  await replaceFile(pathOf(folder), `${order}\n`)
}

/** An order is for the copy that runs, not for the next one. */
export async function forgetOrders(folder: string): Promise<void> {
  await rm(pathOf(folder), { force: true })
}

/** Calls `obey` once for each order until the signal. */
export async function watchOrders(
  folder: string,
  signal: AbortSignal,
  obey: (order: Order) => void,
): Promise<void> {
  while (!signal.aborted) {
    const order = await takeOrder(folder)
    if (order !== undefined) obey(order)
    await delay(lookEveryMs, undefined, { signal, ref: false }).catch(() => undefined)
  }
}

async function takeOrder(folder: string): Promise<Order | undefined> {
  try {
    const text = (await readFile(pathOf(folder), 'utf8')).trim()
    await forgetOrders(folder)
    return orders.find((order) => order === text)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

function pathOf(folder: string): string {
  return join(folder, 'order')
}

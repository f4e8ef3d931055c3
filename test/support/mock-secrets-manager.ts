/**
 * Secrets Manager as far as GetSecretValue goes: the JSON protocol over HTTP, with a value for each
 * stage that a test may change. Neighbour: listen.ts.
 */
import { createServer } from 'node:http'
import type { Server } from 'node:http'
import { listenLocally } from './listen.ts'

export class MockSecretsManager {
  readonly requests: { readonly id: string; readonly stage: string }[] = []
  /** By stage; a missing one is ResourceNotFoundException, as the service says. */
  readonly stages = new Map<string, string>()
  /** Answers with this error instead. */
  failure: string | null = null
  readonly #server: Server
  #port = 0

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const target = request.headers['x-amz-target']
        const { status, body } = this.#answer(target, Buffer.concat(chunks).toString())
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' })
        response.end(JSON.stringify(body))
      })
    })
  }

  async start(): Promise<this> {
    this.#port = await listenLocally(this.#server)
    return this
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.#port}`
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections()
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #answer(target: unknown, text: string): { status: number; body: object } {
    if (target !== 'secretsmanager.GetSecretValue') return error('UnknownOperationException')
    const id = field(text, 'SecretId') ?? ''
    const stage = field(text, 'VersionStage') ?? 'AWSCURRENT'
    this.requests.push({ id, stage })
    if (this.failure !== null) return error(this.failure)
    const value = this.stages.get(stage)
    if (value === undefined) return error('ResourceNotFoundException')
    return { status: 200, body: { ARN: id, Name: 'orders', SecretString: value } }
  }
}

function error(type: string): { status: number; body: object } {
  return { status: 400, body: { __type: type, message: `${type} of the mock` } }
}

function field(text: string, name: string): string | undefined {
  const value: unknown = Object.entries(Object(JSON.parse(text))).find(([key]) => key === name)?.[1]
  return typeof value === 'string' ? value : undefined
}

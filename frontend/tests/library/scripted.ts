import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A server that does what no good one does, request by request: each gets the next handler, and the last one stays. */
export class Scripted {
  readonly requests: { method: string; url: string; headers: IncomingMessage['headers'] }[] = []
  #server = createServer((request, response) => {
    this.requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers })
    const handler = this.handlers.length > 1 ? this.handlers.shift() : this.handlers[0]
    handler?.(request, response)
  })

  constructor(private readonly handlers: Handler[]) {}

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

/** An answer as JSON. */
export function json(status: number, body: unknown, headers: Record<string, string> = {}): Handler {
  return (_, response) => response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body))
}

/** A stream of these blocks, that then ends, breaks off, or stays silent. */
export function stream(blocks: string[], then: 'end' | 'break' | 'silence' = 'end'): Handler {
  return (_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream; charset=utf-8' })
    response.write(`: open\n\n${blocks.join('')}`)
    if (then === 'end') response.end()
    if (then === 'break') setTimeout(() => response.destroy(), 20)
  }
}

/** A block of the native format; seq 0: without an id. */
export function block(seq: number, event: string, data: object, epoch = 1): string {
  const id = seq > 0 ? `id: r:${epoch}-${seq}\n` : ''
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n${id}\n`
}

export const started = block(1, 'started', { kind: 'chat' })

/** Delta number `index`, whose seq is two more. */
export function delta(index: number, text: string): string {
  return block(index + 2, 'delta', { index, text })
}

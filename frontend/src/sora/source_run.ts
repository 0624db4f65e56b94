import type { SoraClient } from './client'
import type { FollowerListener } from './follower'
import { newId } from './id'
import type { Request } from './request'
import { Run, type RunOptions } from './run'
import { SourceFollower } from './source_follower'
import type { Inputs, Kind, Turn } from './types'

export interface SourceRunOptions extends RunOptions {
  /** Instead of the browser's own. */
  EventSource?: typeof EventSource
}

/**
 * A run that is followed by EventSource, where the browser does the connecting: over the GET endpoints, which start a run, and no second one
 * for the same question while it is read; or by a ticket. Neither carries a token in a header: the GETs go by the session's cookie, or as a
 * guest, a ticket needs nothing.
 */
export class SourceRun extends Run {
  readonly #source: Pick<SourceRunOptions, 'EventSource'>
  #request: (() => Request) | null = null

  constructor(client: SoraClient, options: SourceRunOptions = {}) {
    super(client, options)
    this.#source = options.EventSource ? { EventSource: options.EventSource } : {}
  }

  /** `GET /chat?query=…`. Resolves with null: the run's name comes with its first event. */
  chat(query: string): Promise<string | null> {
    return this.#get('/chat', { query })
  }

  /** `GET /api/chat/stream?message=…&history=…` */
  chunks(message: string, history: readonly Turn[] = []): Promise<string | null> {
    return this.#get('/api/chat/stream', { message, history: JSON.stringify(history) })
  }

  /** A run of any kind, by a ticket. */
  ticket<K extends Kind>(kind: K, input: Inputs[K]): Promise<string | null> {
    return this.#begin(() => {
      const key = newId()
      return async () => {
        const { url } = await this.client.ticket(kind, input, { key })
        return { runId: null, target: `${this.client.http.url(url)}?heartbeat=event` }
      }
    })
  }

  protected override again(): Request | null {
    return this.#request?.() ?? null
  }

  protected override connect(target: string, listener: FollowerListener): { close: () => void } {
    const { language, withCredentials } = this.client.http
    const { silenceTimeout } = this.limits
    return new SourceFollower(target, listener, { language, withCredentials, silenceTimeout, ...this.#source })
  }

  #get(path: string, fields: Record<string, string>): Promise<string | null> {
    return this.#begin(() => {
      // The server knows the question by its URL: with a key of its own it is another one when it is asked again.
      const asked = { ...fields, format: 'native', heartbeat: 'event', key: newId() }
      const target = this.client.http.url(`${path}?${new URLSearchParams(asked).toString()}`)
      return () => Promise.resolve({ runId: null, target })
    })
  }

  #begin(request: () => Request): Promise<string | null> {
    this.#request = request
    return this.begin(request())
  }
}

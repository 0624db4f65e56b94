import { SoraError, errorOf, ownError } from './errors'
import { browserLanguage, type Language } from './words'

export interface ClientOptions {
  /** Where Sora is; empty (the default) for the page's own origin. */
  baseUrl?: string
  /** A Bearer token, or what gives one; without it the session cookie speaks. */
  token?: string | (() => string | null | undefined)
  fetch?: typeof fetch
  /** The language of the messages for people; by default the browser's. */
  language?: Language
}

export interface Asked {
  method?: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  json?: unknown
  body?: BodyInit
  headers?: Record<string, string>
  signal?: AbortSignal
  /** ms for the whole answer, its body included; 0: as long as it takes. */
  timeout?: number
}

const TIMEOUT = 30_000

/** Requests to one Sora: its address, the credentials, and errors as SoraError. */
export class Http {
  readonly language: Language
  readonly #base: string
  readonly #token: ClientOptions['token']
  readonly #fetch: typeof fetch | undefined
  readonly #asks: boolean

  constructor(options: ClientOptions) {
    this.#base = (options.baseUrl ?? '').replace(/\/+$/, '')
    this.#token = options.token
    this.#fetch = options.fetch
    this.#asks = options.language !== undefined
    this.language = options.language ?? browserLanguage()
  }

  url(path: string): string {
    return this.#base + path
  }

  /** Whether the cookies of another origin go along. */
  get withCredentials(): boolean {
    return this.#base !== '' && this.#tokenNow() === null
  }

  headers(more: Record<string, string> = {}): Record<string, string> {
    const token = this.#tokenNow()
    return {
      ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      ...(this.#asks ? { 'Accept-Language': this.language } : {}),
      ...more,
    }
  }

  /** The response, of a status below 400. Rejects with a SoraError, and with an AbortError when `signal` says so. */
  async send(path: string, asked: Asked = {}): Promise<Response> {
    const { json, body, timeout = TIMEOUT } = asked
    const limit = timeout > 0 ? AbortSignal.timeout(timeout) : null
    const signals = [asked.signal, limit].filter((signal) => signal != null)
    try {
      const response = await (this.#fetch ?? globalThis.fetch)(this.url(path), {
        method: asked.method ?? 'GET',
        headers: this.headers({
          ...(json === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...asked.headers,
        }),
        credentials: this.withCredentials ? 'include' : 'same-origin',
        cache: 'no-store',
        signal: AbortSignal.any(signals),
        body: json === undefined ? (body ?? null) : JSON.stringify(json),
      })
      if (response.status >= 400) throw await errorOf(response, this.language)
      return response
    } catch (error) {
      asked.signal?.throwIfAborted()
      if (error instanceof SoraError) throw error
      throw ownError(limit?.aborted ? 'timeout' : 'network', this.language)
    }
  }

  async json<T>(path: string, asked: Asked = {}): Promise<T> {
    const response = await this.send(path, asked)
    try {
      return (await response.json()) as T
    } catch {
      asked.signal?.throwIfAborted()
      throw ownError('bad_response', this.language, response.status)
    }
  }

  #tokenNow(): string | null {
    return (typeof this.#token === 'function' ? this.#token() : this.#token) ?? null
  }
}

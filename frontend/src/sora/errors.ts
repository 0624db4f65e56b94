import type { Language } from './words'
import { words } from './words'

export interface ErrorDetail {
  field: string
  message: string
}

interface Told {
  code: string
  message: string
  retryable: boolean
  status?: number
  retryAfter?: number
  details?: readonly ErrorDetail[]
}

/**
 * What went wrong. `code` is stable: one of the server's (`sora/errors.py`), or one of the library's own: `network` (no
 * answer came), `timeout`, `unavailable` (a proxy answered for the server), `connection_lost` (given up), `bad_response`.
 * `message` is for people. `retryAfter` is in seconds.
 */
export class SoraError extends Error {
  readonly code: string
  readonly retryable: boolean
  readonly status: number | undefined
  readonly retryAfter: number | undefined
  readonly details: readonly ErrorDetail[]

  constructor(told: Told) {
    super(told.message)
    this.name = 'SoraError'
    this.code = told.code
    this.retryable = told.retryable
    this.status = told.status
    this.retryAfter = told.retryAfter
    this.details = told.details ?? []
  }
}

type OwnCode = 'network' | 'timeout' | 'unavailable' | 'connection_lost' | 'bad_response'

/** An error that the library itself has to tell of. */
export function ownError(code: OwnCode, language: Language, status?: number): SoraError {
  return new SoraError({
    code,
    message: words[language][code],
    retryable: code !== 'bad_response',
    ...(status === undefined ? {} : { status }),
  })
}

/** The error that a response with a status of 400 or more stands for. Never throws. */
export async function errorOf(response: Response, language: Language): Promise<SoraError> {
  const retryAfter = secondsOf(response.headers.get('Retry-After'))
  const { status } = response
  const body = await response.text().catch(() => '')
  return errorFrom(status, body, retryAfter, language)
}

/** The same for a body that was read already. */
export function errorFrom(
  status: number,
  body: string,
  retryAfter: number | undefined,
  language: Language,
): SoraError {
  const waits = retryAfter === undefined ? {} : { retryAfter }
  const told = parsed(body)
  if (told) {
    const retryable = status === 429 || status >= 502 || told.code === 'conversation_busy'
    return new SoraError({ ...told, retryable, status, ...waits })
  }
  // Not in Sora's words: a proxy or something else on the way has answered.
  if (status === 429 || status >= 502) {
    const { code, message } = ownError('unavailable', language)
    return new SoraError({ code, message, retryable: true, status, ...waits })
  }
  return ownError('bad_response', language, status)
}

/** Seconds from a Retry-After: a number, or a date. */
export function secondsOf(header: string | null): number | undefined {
  if (header === null || header.trim() === '') return undefined
  if (/^\d+$/.test(header.trim())) return Number(header)
  const at = Date.parse(header)
  return Number.isNaN(at) ? undefined : Math.max(0, (at - Date.now()) / 1000)
}

function parsed(body: string): { code: string; message: string; details?: ErrorDetail[] } | null {
  try {
    const value = JSON.parse(body) as { code?: unknown; error?: unknown; details?: ErrorDetail[] } | null
    if (typeof value?.code !== 'string' || typeof value.error !== 'string') return null
    return { code: value.code, message: value.error, ...(value.details ? { details: value.details } : {}) }
  } catch {
    return null
  }
}

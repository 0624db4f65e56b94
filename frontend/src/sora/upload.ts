import { SoraError, errorFrom, ownError, secondsOf } from './errors'
import type { Http } from './http'

export interface UploadOptions {
  key?: string
  signal?: AbortSignal
  /** Part of the body that has left, 0 to 1. */
  onUpload?: (part: number) => void
}

export interface Uploaded {
  header: (name: string) => string | null
  json: () => unknown
}

/**
 * Sends a form by XMLHttpRequest, which alone can tell how far an upload has come. With `headersOnly` it is answered as soon as the
 * headers are there, and the body is not read. Rejects with a SoraError, and with an AbortError when `signal` says so.
 */
export function upload(
  http: Http,
  path: string,
  form: FormData,
  options: UploadOptions & { headersOnly?: boolean } = {},
): Promise<Uploaded> {
  if (typeof XMLHttpRequest === 'undefined') return uploadByFetch(http, path, form, options)
  const { key, signal, onUpload, headersOnly = false } = options
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const abort = () => {
      request.abort()
      reject(new DOMException('The upload was called off.', 'AbortError'))
    }
    const settled = () => signal?.removeEventListener('abort', abort)
    const fail = (error: SoraError) => {
      settled()
      reject(error)
    }
    const answered = () => {
      settled()
      const headers = new Headers(headerPairs(request.getAllResponseHeaders()))
      resolve({
        header: (name) => headers.get(name),
        json: () => JSON.parse(request.responseText) as unknown,
      })
    }
    request.open('POST', http.url(path))
    request.withCredentials = http.withCredentials
    const headers = http.headers(key === undefined ? {} : { 'Idempotency-Key': key })
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    if (onUpload) request.upload.onprogress = ({ loaded, total }) => onUpload(total > 0 ? loaded / total : 1)
    request.onreadystatechange = () => {
      if (!headersOnly || request.readyState !== XMLHttpRequest.HEADERS_RECEIVED || request.status >= 400) return
      answered()
      request.onreadystatechange = null
      request.onerror = null
      request.abort()
    }
    request.onload = () => {
      if (request.status < 400) {
        answered()
        return
      }
      const wait = secondsOf(request.getResponseHeader('Retry-After'))
      fail(errorFrom(request.status, request.responseText, wait, http.language))
    }
    request.onerror = () => fail(ownError('network', http.language))
    signal?.addEventListener('abort', abort)
    if (signal?.aborted) abort()
    else request.send(form)
  })
}

/** Where there is no XMLHttpRequest: without progress. */
async function uploadByFetch(
  http: Http,
  path: string,
  form: FormData,
  { key, signal, headersOnly }: UploadOptions & { headersOnly?: boolean },
): Promise<Uploaded> {
  const headers: Record<string, string> = key === undefined ? {} : { 'Idempotency-Key': key }
  const asked = { method: 'POST' as const, body: form, headers, timeout: 0 }
  const response = await http.send(path, { ...asked, ...(signal ? { signal } : {}) })
  if (headersOnly) await response.body?.cancel()
  const json: unknown = headersOnly ? null : await response.json()
  return { header: (name) => response.headers.get(name), json: () => json }
}

function headerPairs(text: string): [string, string][] {
  const lines = text.trim().split(/[\r\n]+/)
  return lines.flatMap((line) => {
    const at = line.indexOf(':')
    return at > 0 ? [[line.slice(0, at), line.slice(at + 1).trim()]] : []
  })
}

import { ownError } from './errors'
import { Http, type ClientOptions } from './http'
import type {
  AskInput,
  Conversation,
  ConversationMessage,
  DocumentPage,
  Hit,
  Inputs,
  Kind,
  Page,
  Review,
  RunInfo,
  Session,
  SoraDocument,
  Ticket,
} from './types'
import { upload, type UploadOptions } from './upload'

export type { ClientOptions } from './http'

export type SoraClient = ReturnType<typeof createClient>

/** The API of one Sora. Every call rejects with a SoraError. */
export function createClient(options: ClientOptions = {}) {
  const http = new Http(options)
  return {
    http,
    runs: runs(http),
    reviews: reviews(http),
    conversations: conversations(http),
    session: session(http),
    documents: documents(http),
    /** The passages of the knowledge base nearest to these words. */
    search: async (words: string, { limit = 5 } = {}) =>
      (await http.json<{ items: Hit[] }>(`/api/search${query({ q: words, limit })}`)).items,
    /** Starts a run that an EventSource can follow at `url`, without header or cookie. */
    ticket: <K extends Kind>(kind: K, input: Inputs[K], { key }: { key?: string } = {}) =>
      http.json<Ticket>('/api/tickets', { method: 'POST', json: { kind, input }, headers: keyed(key) }),
  }
}

function runs(http: Http) {
  return {
    /**
     * Starts a run that outlives its connections; its id. The same key gets the same run, however often it is sent. Files go along as
     * a form.
     */
    start: async <K extends Kind>(kind: K, input: Inputs[K], options: UploadOptions = {}): Promise<string> => {
      const { key, signal } = options
      const { files, ...rest } = input as Inputs[K] & Pick<AskInput, 'files'>
      if (kind === 'ask' && files?.length) return await startWithFiles(http, rest, files, options)
      const json = { kind, input: rest, on_disconnect: 'continue' }
      const asked = { method: 'POST' as const, json, headers: keyed(key), ...(signal ? { signal } : {}) }
      return (await http.json<RunInfo>('/api/runs', asked)).id
    },
    list: (page: { status?: RunInfo['status']; limit?: number; before?: string } = {}) =>
      http.json<Page<RunInfo>>(`/api/runs${query(page)}`),
    show: (id: string) => http.json<RunInfo & { text: string }>(`/api/runs/${id}`),
    cancel: (id: string) => http.json<RunInfo>(`/api/runs/${id}/cancel`, { method: 'POST' }),
    /** The same request again, as a new run. */
    retry: (id: string, { key }: { key?: string } = {}) =>
      http.json<RunInfo>(`/api/runs/${id}/retry`, { method: 'POST', headers: keyed(key) }),
    remove: (id: string) => gone(http, `/api/runs/${id}`),
  }
}

async function startWithFiles(
  http: Http,
  fields: Omit<AskInput, 'files'>,
  files: readonly File[],
  options: UploadOptions,
): Promise<string> {
  const form = new FormData()
  for (const [name, value] of pairs({ ...fields, on_disconnect: 'continue' })) form.append(name, value)
  for (const file of files) form.append('files', file)
  // The answer is read by GET like any other, so that it can be gone on with; this one says the run's name in its headers.
  const answer = await upload(http, '/api/ask?format=native', form, { ...options, headersOnly: true })
  const id = answer.header('X-Sora-Run-Id')
  if (id === null) throw ownError('bad_response', http.language)
  return id
}

function reviews(http: Http) {
  return {
    /** Newest first, 10 a page; `after` is the nextCursor of the page before, or a date. */
    list: (page: { after?: string } = {}) => http.json<Page<Review>>(`/api/reviews${query(page)}`),
    month: (year: number, month: number) =>
      http.json<{ day: number; feedbackType: Review['type'] }[]>(`/api/reviews/month${query({ year, month })}`),
    /** The newest of that day, with the ids of the others. */
    day: (year: number, month: number, day: number) =>
      http.json<Review & { others: string[] }>(`/api/reviews/day${query({ year, month, day })}`),
    show: (id: string) => http.json<Review>(`/api/reviews/${id}`),
    remove: (id: string) => gone(http, `/api/reviews/${id}`),
  }
}

function conversations(http: Http) {
  const at = (id: string) => `/api/conversations/${encodeURIComponent(id)}`
  return {
    list: (page: { limit?: number; before?: string } = {}) =>
      http.json<Page<Conversation>>(`/api/conversations${query(page)}`),
    create: (fields: { id?: string; title?: string } = {}) =>
      http.json<Conversation>('/api/conversations', { method: 'POST', json: fields }),
    show: (id: string) => http.json<Conversation>(at(id)),
    /** Oldest first; the page before it ends where `before`, its nextCursor, says. */
    messages: (id: string, page: { limit?: number; before?: string } = {}) =>
      http.json<Page<ConversationMessage>>(`${at(id)}/messages${query(page)}`),
    rename: (id: string, title: string) =>
      http.json<Conversation>(at(id), { method: 'PATCH', json: { title } }),
    remove: (id: string) => gone(http, at(id)),
  }
}

function session(http: Http) {
  return {
    /** Who one is; rejects with `unauthorized` for nobody. */
    show: () => http.json<Session>('/api/session'),
    /** Keeps a token in a cookie that no script reads; without one, where guests are welcome, it makes a guest. */
    signIn: (token?: string) =>
      http.json<Session>('/api/session', {
        method: 'POST',
        ...(token === undefined ? {} : { headers: { Authorization: `Bearer ${token}` } }),
      }),
    signOut: () => gone(http, '/api/session'),
  }
}

function documents(http: Http) {
  return {
    list: (page: { limit?: number; before?: string } = {}) =>
      http.json<Page<SoraDocument>>(`/api/documents${query(page)}`),
    show: (id: string, page: { limit?: number; after?: number } = {}) =>
      http.json<DocumentPage>(`/api/documents/${id}${query(page)}`),
    /** Puts files into one's own knowledge base; a file of the same name is replaced. */
    put: async (files: readonly File[], options: UploadOptions = {}) => {
      const form = new FormData()
      for (const file of files) form.append('files', file)
      const answer = await upload(http, '/api/documents', form, options)
      return (answer.json() as { items: SoraDocument[] }).items
    },
    remove: (id: string) => gone(http, `/api/documents/${id}`),
  }
}

async function gone(http: Http, path: string): Promise<void> {
  await http.send(path, { method: 'DELETE' })
}

function keyed(key: string | undefined): Record<string, string> {
  return key === undefined ? {} : { 'Idempotency-Key': key }
}

type Fields = Partial<Record<string, string | number | boolean>>

function query(fields: Fields): string {
  const given = pairs(fields)
  return given.length > 0 ? `?${new URLSearchParams(given).toString()}` : ''
}

function pairs(fields: Fields): [string, string][] {
  return Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))
}

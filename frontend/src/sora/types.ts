import type { SoraError } from './errors'

export type Kind = 'review' | 'chat' | 'ask' | 'agent'

export interface ReviewInput {
  body: string
  type: 'FEELING' | 'THINKING' | 'F' | 'T'
  /** YYYY-MM-DD */
  reviewDate: string
}

export interface Turn {
  role: 'user' | 'assistant'
  content: string
}

export interface ChatInput {
  message: string
  /** What was said before; not needed with a conversation, which remembers. */
  history?: Turn[]
  conversation_id?: string
}

export interface AskInput {
  /** May be empty when there are files. */
  question?: string
  sessionId?: string
  systemPrompt?: string
  isWebSearch?: boolean
  temperature?: number
  topP?: number
  maxTokens?: number
  files?: readonly File[]
}

export interface AgentInput {
  message: string
  user_id?: string
  conversation_id?: string
  custom_prompt?: string
  llm_config?: { model?: string; temperature?: number; top_p?: number; max_tokens?: number }
}

export interface Inputs {
  review: ReviewInput
  chat: ChatInput
  ask: AskInput
  agent: AgentInput
}

export interface Progress {
  node: string
  stage: string
  status: 'in_progress' | 'completed' | 'failed'
  /** Words for a person, in the language of the request. */
  message: string
}

export interface Source {
  url: string
  title: string
}

export interface Usage {
  input_tokens: number
  output_tokens: number
  total_tokens: number
}

/** What ask tells about its answer; other kinds may have fields of their own. */
export interface Metadata {
  sessionId?: string
  runId?: string
  model?: string
  usage?: { input: number; output: number; total: number } | null
  timings?: Record<string, number | null>
  imageResults?: MediaResult[]
  youtubeResults?: MediaResult[]
  topicDrifted?: boolean
  [field: string]: unknown
}

export type MediaResult = Record<string, string>

export type Row = Record<string, unknown>

/** The agent's result, in the fields of its guide. */
export interface AgentResult {
  content: string
  sources: unknown[]
  confidence_score: number | null
  table_data: Record<string, unknown> | null
  chart_data: Record<string, unknown> | null
  [field: string]: unknown
}

/** An event of a run, as the native format has it. */
export type RunEvent =
  | { type: 'started'; kind: string }
  | ({ type: 'progress' } & Progress)
  | { type: 'reasoning'; text: string }
  | { type: 'delta'; index: number; text: string }
  | ({ type: 'source' } & Source)
  | { type: 'metadata'; data: Metadata }
  | ({ type: 'usage' } & Usage)
  | { type: 'result'; data: AgentResult }
  | { type: 'done'; finish_reason: string }
  | { type: 'error'; code: string; message: string; retryable: boolean }
  | { type: 'cancelled' }
  | { type: 'reset'; seq: number }

export type RunStatus =
  | 'idle'
  | 'connecting' // asked for, nothing heard yet
  | 'waiting' // the server is at work, no text yet
  | 'streaming'
  | 'saving' // written, but the server cannot save it yet
  | 'reconnecting' // the text stays; `retryAt` says when
  | 'offline'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'interrupted' // the server broke it off; what had arrived is kept

export interface Timing {
  /** From the request to the first piece of the answer; null for a run that was only attached to. */
  firstTokenMs: number | null
  tokensPerSecond: number | null
}

/** What a run's events amount to. */
export interface AnswerShape {
  text: string
  reasoning: string
  /** The latest of every stage, in the order in which the stages began. */
  progress: readonly Progress[]
  sources: readonly Source[]
  metadata: Metadata | null
  result: AgentResult | null
  usage: Usage | null
}

export interface RunState extends AnswerShape {
  status: RunStatus
  runId: string | null
  finishReason: string | null
  /** Why it failed; or, while it is tried again by itself, why it is. */
  error: SoraError | null
  timing: Timing
  /** Part of the files that is on its way, 0 to 1; null when there is nothing to upload. */
  upload: number | null
  /** How often in a row it was tried in vain to connect. */
  attempt: number
  /** When the next try is due, or when one may try again, in ms as Date.now() has it. */
  retryAt: number | null
}

/** A run as `GET /api/runs/<id>` tells of it. */
export interface RunInfo {
  id: string
  kind: string
  status: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'interrupted'
  finish_reason: string | null
  error: { code: string; message: string; retryable: boolean } | null
  usage: { input: number; output: number; total: number } | null
  model: string | null
  created_at: string
  ended_at: string | null
  retry_of: string | null
  events_url: string
}

export interface Page<T> {
  items: T[]
  hasNext: boolean
  nextCursor: string | null
}

export interface Review {
  id: string
  type: 'FEELING' | 'THINKING'
  feedbackType: 'FEELING' | 'THINKING'
  body: string
  feedback: string
  /** YYYY-MM-DD */
  date: string
}

export interface Conversation {
  id: string
  title: string | null
  createdAt: string
  updatedAt: string
  /** The run under way in it. */
  runId: string | null
}

export interface ConversationMessage {
  id: string
  role: 'user' | 'assistant'
  content: string
  status: string
  runId: string | null
  createdAt: string
  [field: string]: unknown
}

export interface Session {
  id: string
  name: string
  role: string
  expires_at: number | null
  [field: string]: unknown
}

export interface SoraDocument {
  id: string
  title: string
  name: string
  kind: string
  mediaType: string
  scope: 'shared' | 'own'
  passages: number
  characters: number
  createdAt: string
  updatedAt: string
  url: string
}

/** A document with a page of its passages, in their order. */
export interface DocumentPage extends SoraDocument {
  sheets: { name: string; rows: number; columns: { name: string; type: string }[] }[]
  /** `cells`: the row of a table that it is. */
  pieces: { position: number; text: string; cells?: Row }[]
  hasNext: boolean
  nextCursor: number | null
}

export interface Hit {
  passageId: string
  documentId: string
  title: string
  url: string
  text: string
  score: number
}

export interface Ticket {
  ticket: string
  url: string
  expires_in: number
}

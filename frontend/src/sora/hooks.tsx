import {
  createContext,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
  type ReactNode,
} from 'react'

import { createClient, type SoraClient } from './client'
import { newId } from './id'
import { Run, type RunOptions } from './run'
import type { RunHandlers } from './screen'
import { SourceRun, type SourceRunOptions } from './source_run'
import type { AgentInput, AskInput, ChatInput, Inputs, Kind, ReviewInput, RunState, Turn } from './types'

const ClientContext = createContext<SoraClient | null>(null)
let ofThisOrigin: SoraClient | null = null

/** The client for the hooks below it, instead of one for the page's own origin. Another one is used from the next request on. */
export function SoraProvider({ client, children }: { client: SoraClient; children: ReactNode }) {
  return <ClientContext value={client}>{children}</ClientContext>
}

export function useSora(): SoraClient {
  return useContext(ClientContext) ?? (ofThisOrigin ??= createClient())
}

function useGiven(client: SoraClient | undefined): SoraClient {
  const context = useSora()
  return client ?? context
}

export interface UseRunOptions extends RunOptions, RunHandlers {
  client?: SoraClient
}

export interface RunControls {
  attach: (runId: string) => void
  stop: () => Promise<void>
  retry: () => Promise<string | null>
  reset: () => void
}

export type RunHandle = RunState &
  RunControls & {
    /** See `Run.start`: null when nothing was started. */
    start: <K extends Kind>(kind: K, input: Inputs[K]) => Promise<string | null>
  }

/**
 * One question and its answer at a time. Rendered once a frame at most. When the component goes the run goes on; strict mode and coming back
 * start nothing.
 */
export function useRun(options: UseRunOptions = {}): RunHandle {
  const client = useGiven(options.client)
  const [run] = useState(() => new Run(client, options))
  useEffect(() => run.through(client), [run, client])
  const state = useRunState(run, options)
  const controls = useMemo(
    () => ({
      ...controlsOf(run),
      start: <K extends Kind>(kind: K, input: Inputs[K]) => run.start(kind, input),
    }),
    [run],
  )
  return useMemo(() => ({ ...state, ...controls }), [state, controls])
}

/** The state of a run that somebody else made, looked at while the component is there. */
export function useRunState(run: Run, handlers: RunHandlers = {}): RunState {
  const latest = useRef(handlers)
  useEffect(() => {
    latest.current = handlers
  })
  useEffect(() => {
    const deaf = run.listen({
      onProgress: (progress) => latest.current.onProgress?.(progress),
      onComplete: (state) => latest.current.onComplete?.(state),
      onError: (error) => latest.current.onError?.(error),
    })
    run.open()
    return () => {
      deaf()
      run.close()
    }
  }, [run])
  return useSyncExternalStore(run.subscribe, run.getSnapshot, run.getSnapshot)
}

export function controlsOf(run: Run): RunControls {
  return {
    attach: (runId) => run.attach(runId),
    stop: () => run.stop(),
    retry: () => run.retry(),
    reset: () => run.reset(),
  }
}

export type Sender<I> = Omit<RunHandle, 'start'> & { send: (input: I) => Promise<string | null> }

/** A diary, and its review. */
export function useReview(options: UseRunOptions = {}): Sender<ReviewInput> {
  const run = useRun(options)
  return { ...run, send: (input) => run.start('review', input) }
}

export interface ChatOptions extends UseRunOptions {
  /** The name of the conversation; by default a new one, the same until the component goes. */
  conversation?: string
}

/** A message and its answer, in a conversation that the server remembers. */
export function useChat(options: ChatOptions = {}): Sender<ChatInput> & { conversation: string } {
  const run = useRun(options)
  const conversation = useName(options.conversation)
  return { ...run, conversation, send: (input) => run.start('chat', { conversation_id: conversation, ...input }) }
}

export interface AskOptions extends UseRunOptions {
  /** The name of the conversation; by default a new one, the same until the component goes. */
  session?: string
}

/** A question, with files, and its answer with sources. */
export function useAsk(options: AskOptions = {}): Sender<AskInput> & { session: string } {
  const run = useRun(options)
  const session = useName(options.session)
  return { ...run, session, send: (input) => run.start('ask', { sessionId: session, ...input }) }
}

/** A message to the agent: its steps, its answer, and the result with table and chart. */
export function useAgent(options: ChatOptions = {}): Sender<AgentInput> & { conversation: string } {
  const run = useRun(options)
  const conversation = useName(options.conversation)
  return { ...run, conversation, send: (input) => run.start('agent', { conversation_id: conversation, ...input }) }
}

export interface EventSourceOptions extends SourceRunOptions, RunHandlers {
  client?: SoraClient
}

/** The same by EventSource: over the GET endpoints, or by a ticket. See SourceRun. */
export function useEventSource(options: EventSourceOptions = {}) {
  const client = useGiven(options.client)
  const [run] = useState(() => new SourceRun(client, options))
  useEffect(() => run.through(client), [run, client])
  const state = useRunState(run, options)
  const controls = useMemo(
    () => ({
      ...controlsOf(run),
      chat: (query: string) => run.chat(query),
      chunks: (message: string, history: readonly Turn[] = []) => run.chunks(message, history),
      ticket: <K extends Kind>(kind: K, input: Inputs[K]) => run.ticket(kind, input),
    }),
    [run],
  )
  return useMemo(() => ({ ...state, ...controls }), [state, controls])
}

function useName(given: string | undefined): string {
  const [own] = useState(newId)
  return given ?? own
}

export { createClient, type ClientOptions, type SoraClient } from './client'
export { SoraError, type ErrorDetail } from './errors'
export {
  SoraProvider,
  useAgent,
  useAsk,
  useChat,
  useEventSource,
  useSora,
  useReview,
  useRun,
  useRunState,
  type AskOptions,
  type ChatOptions,
  type EventSourceOptions,
  type RunControls,
  type RunHandle,
  type Sender,
  type UseRunOptions,
} from './hooks'
export { newId } from './id'
export { Run, type RunOptions } from './run'
export type { RunHandlers } from './screen'
export { SourceRun, type SourceRunOptions } from './source_run'
export { isActive } from './state'
export type * from './types'
export type { Language } from './words'

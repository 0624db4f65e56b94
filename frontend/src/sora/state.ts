import type { RunState, RunStatus } from './types'

export const IDLE: RunState = {
  status: 'idle',
  runId: null,
  text: '',
  reasoning: '',
  progress: [],
  sources: [],
  metadata: null,
  result: null,
  usage: null,
  finishReason: null,
  error: null,
  timing: { firstTokenMs: null, tokensPerSecond: null },
  upload: null,
  attempt: 0,
  retryAt: null,
}

const RESTING: ReadonlySet<RunStatus> = new Set(['idle', 'completed', 'failed', 'cancelled', 'interrupted'])

/** Whether something is under way: a request, an answer, or the way back to one. */
export function isActive({ status }: Pick<RunState, 'status'>): boolean {
  return !RESTING.has(status)
}

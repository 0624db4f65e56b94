import type { SoraClient } from './client'
import { SoraError } from './errors'
import { newId } from './id'
import type { Inputs, Kind } from './types'

/** What a request started: `target` is where it can be followed. */
export interface Begun {
  runId: string | null
  target: string
}

/** Starts something; called again it starts no second one. */
export type Request = () => Promise<Begun>

/** Starts a run. `onUpload` is told how much of its files has gone out, from 0 to 1. */
export function toStart<K extends Kind>(
  client: () => SoraClient,
  kind: K,
  input: Inputs[K],
  onUpload: (part: number) => void,
): Request {
  const key = newId()
  return async () => {
    const runId = await client().runs.start(kind, input, { key, onUpload })
    return { runId, target: runId }
  }
}

/** Starts what a run that has ended was to do once more; one that has not ended after all is followed on. */
export function toRetry(client: () => SoraClient, runId: string): Request {
  const key = newId()
  return async () => {
    try {
      const { id } = await client().runs.retry(runId, { key })
      return { runId: id, target: id }
    } catch (error) {
      if (error instanceof SoraError && error.code === 'run_active') return { runId, target: runId }
      throw error
    }
  }
}

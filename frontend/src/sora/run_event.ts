import type { StreamMessage } from './event_stream'
import type { RunEvent } from './types'

const BARE = new Set(['metadata', 'result'])
const FIELDS = new Set([
  'started',
  'progress',
  'reasoning',
  'delta',
  'source',
  'usage',
  'done',
  'error',
  'cancelled',
  'reset',
])

/** The event that a message of the native format is; null for one that is not of a run, or not known yet. Throws for broken JSON. */
export function runEventOf({ event, data }: Pick<StreamMessage, 'event' | 'data'>): RunEvent | null {
  if (BARE.has(event)) return { type: event, data: JSON.parse(data) as unknown } as RunEvent
  if (FIELDS.has(event)) return { ...(JSON.parse(data) as object), type: event } as RunEvent
  return null
}

export const EVENT_NAMES = [...BARE, ...FIELDS]

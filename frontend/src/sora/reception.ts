import { Answer } from './answer'
import { cursorOf, type Cursor } from './cursor'
import type { StreamMessage } from './event_stream'
import { runEventOf } from './run_event'
import type { RunEvent } from './types'

export interface Heard {
  event: RunEvent
  /** Null for what was told to this reader alone, and has no place among the run's events. */
  cursor: Cursor | null
}

/** What has come of a run's events: each once, in their order, whatever the connections bring twice, take back or leave out. */
export class Reception {
  #answer = new Answer()
  #cursor: Cursor | null = null
  #restarted = false

  get answer(): Answer {
    return this.#answer
  }

  /** Where to go on; null: from the first event. */
  get cursor(): Cursor | null {
    return this.#cursor
  }

  /**
   * The news in a message, if any. A delta that is missing is `lost` when it was missing before; the first time it throws, and everything is to
   * be read anew. Throws for broken JSON too.
   */
  hear(message: StreamMessage): Heard | 'lost' | null {
    const event = runEventOf(message)
    const cursor = cursorOf(message.id)
    if (event === null || cursor === null) return event && { event, cursor }
    if (event.type === 'reset') {
      this.#answer.rewind(event.seq)
    } else {
      if (this.#cursor !== null && cursor.seq <= this.#cursor.seq) return null // had already
      if (event.type === 'delta' && event.index !== this.#answer.deltas) return this.#restart()
      this.#answer.add(cursor.seq, event)
    }
    this.#cursor = cursor
    return { event, cursor }
  }

  #restart(): 'lost' {
    if (this.#restarted) return 'lost'
    this.#restarted = true
    this.#answer = new Answer()
    this.#cursor = null
    throw new Error('a delta is missing')
  }
}

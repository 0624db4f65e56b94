import { idOf } from './cursor'
import { SoraError, ownError } from './errors'
import type { FollowerListener } from './follower'
import { EVENT_NAMES, runEventOf } from './run_event'
import { isOnline, onSignal, type Signal } from './signals'
import type { Language } from './words'

/** To be refused for now, an EventSource is told with a 200, and comes back by itself. */
const BUSY = new Set(['rate_limited', 'too_many_runs', 'overloaded', 'draining', 'conversation_busy'])

export interface SourceOptions {
  language: Language
  withCredentials: boolean
  /** ms without anything heard, pings included, after which the connection is made anew. */
  silenceTimeout: number
  EventSource?: typeof EventSource
}

/**
 * Follows a run by the browser's own EventSource, which connects again by itself, with the id of the last event. `url` has a query, and
 * answers with the native format and its heartbeats as events. What closes an EventSource for good leaves no reason behind: the listener is
 * asked to find out (`onNothing`).
 */
export class SourceFollower {
  #source: EventSource
  #lastId = ''
  #timer: ReturnType<typeof setTimeout> | undefined
  #failures = 0
  readonly #deaf: () => void

  constructor(
    private readonly url: string,
    private readonly listener: FollowerListener,
    private readonly options: SourceOptions,
  ) {
    this.#deaf = onSignal((signal) => this.#noticed(signal))
    this.#source = this.#connect()
  }

  close(): void {
    this.#deaf()
    this.#disconnect()
  }

  #connect(): EventSource {
    const { EventSource: Source = EventSource, withCredentials } = this.options
    const cursor = this.listener.cursor()
    this.#lastId = cursor ? idOf(cursor) : ''
    // A new EventSource cannot set the header.
    const from = cursor ? `&last_event_id=${encodeURIComponent(this.#lastId)}` : ''
    const source = new Source(this.url + from, { withCredentials })
    source.onopen = () => {
      this.#failures = 0
      this.listener.onOpen()
      this.#expect()
    }
    for (const name of EVENT_NAMES) {
      if (name !== 'error') source.addEventListener(name, (event: MessageEvent<string>) => this.#hear(event))
    }
    source.addEventListener('ping', () => this.#expect())
    // Two have this name: the stream's own event, and the browser's, which has no data.
    source.addEventListener('error', (event: Event | MessageEvent<string>) =>
      'data' in event ? this.#hear(event) : this.#lost(),
    )
    this.#expect()
    return source
  }

  #hear({ type, data, lastEventId }: MessageEvent<string>): void {
    this.#expect()
    // What was told aside has no id of its own: it shows the one before it, or the opening's.
    const own = lastEventId !== this.#lastId && (type === 'reset' || !lastEventId.endsWith('-0'))
    this.#lastId = lastEventId
    const message = { event: type, data, id: own ? lastEventId : undefined }
    if (type === 'error' && !own && this.#comesBack(data)) return
    try {
      if (this.listener.onMessage(message)) this.close()
    } catch {
      this.#again()
    }
  }

  /** Whether it is only told to ask later. */
  #comesBack(data: string): boolean {
    const event = runEventOf({ event: 'error', data })
    if (event?.type !== 'error' || !BUSY.has(event.code)) return false
    this.#trouble(new SoraError(event))
    return true
  }

  #lost(): void {
    clearTimeout(this.#timer)
    if (this.#source.readyState === this.#source.CLOSED) this.listener.onNothing()
    else this.#trouble(null)
  }

  #trouble(error: SoraError | null): void {
    this.#failures += 1
    // When the browser tries again is its own affair.
    this.listener.onTrouble({ offline: !isOnline(), attempt: this.#failures, retryAt: null, error })
  }

  #expect(): void {
    clearTimeout(this.#timer)
    const silent = () => {
      this.#trouble(ownError('timeout', this.options.language))
      this.#again()
    }
    this.#timer = setTimeout(silent, this.options.silenceTimeout)
  }

  #noticed(signal: Signal): void {
    if (signal === 'offline') this.#trouble(null)
    else if (signal !== 'visible' || this.#source.readyState !== this.#source.OPEN) this.#again()
  }

  #again(): void {
    this.#disconnect()
    this.#source = this.#connect()
  }

  #disconnect(): void {
    clearTimeout(this.#timer)
    this.#source.close()
  }
}

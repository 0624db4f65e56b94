import { delayOf } from './backoff'
import { idOf, type Cursor } from './cursor'
import { SoraError, ownError } from './errors'
import { readEventStream, type StreamMessage } from './event_stream'
import type { Http } from './http'
import { takeLane } from './lane'
import { Pause } from './pause'
import { isOnline, onSignal, type Signal } from './signals'

export interface Limits {
  /** ms until a connection must have answered. */
  connectTimeout: number
  /** ms without a byte, heartbeats included, after which a connection is taken for dead. */
  silenceTimeout: number
  /** ms of trying in vain, with a network there, after which it is given up. */
  patience: number
}

export const LIMITS: Limits = { connectTimeout: 20_000, silenceTimeout: 40_000, patience: 300_000 }

/** A page that was away asks anew after so many ms of silence, rather than to trust a connection that may have died meanwhile. */
const STALE = 20_000

export interface Trouble {
  offline: boolean
  attempt: number
  /** When the next try is due, as Date.now() has it; null where only the browser knows. */
  retryAt: number | null
  /** Set where the server itself said so. */
  error: SoraError | null
}

export interface FollowerListener {
  /** Where to go on; null: from the first event. Asked before every connection. */
  cursor: () => Cursor | null
  onOpen: () => void
  /** Says whether this was the last one. What it throws breaks the connection, and it is tried again. */
  onMessage: (message: StreamMessage) => boolean
  onTrouble: (trouble: Trouble) => void
  /** The server has nothing more to say after the cursor. */
  onNothing: () => void
  /** It will not be tried again. */
  onFailure: (error: SoraError) => void
}

/**
 * Reads one run's events until the last one, over as many connections as that takes. The end of a body is a lost connection like any
 * other. It only ever reads: no connection starts anything.
 */
export class Follower {
  readonly #pause = new Pause()
  readonly #closing = new AbortController()
  readonly #deaf: () => void
  #connection: AbortController | null = null
  #heard = Date.now() // when the last byte came
  #attempt = 0
  #retry: number | undefined
  #vainSince: number | null = null
  #ended = false

  constructor(
    readonly runId: string,
    private readonly http: Http,
    private readonly listener: FollowerListener,
    private readonly limits: Limits,
  ) {
    this.#deaf = onSignal((signal) => this.#noticed(signal))
    void this.#follow()
  }

  /** Stops reading; the run goes on. */
  close(): void {
    this.#deaf()
    this.#closing.abort()
    this.#connection?.abort()
    this.#pause.cut()
  }

  #closed(): boolean {
    return this.#closing.signal.aborted
  }

  async #follow(): Promise<void> {
    while (!this.#closed()) {
      let problem: SoraError | null = null
      try {
        if (await this.#connect()) {
          this.close()
          return
        }
      } catch (error) {
        // What else is thrown is the connection's end, by whatever name the browser has for it.
        problem = error instanceof SoraError && error.status !== undefined ? error : null
      }
      if (this.#closed()) return
      if (problem !== null && !problem.retryable) {
        this.#fail(problem)
        return
      }
      await this.#back(problem)
    }
  }

  /** One connection; whether it brought the end. */
  async #connect(): Promise<boolean> {
    const connection = (this.#connection = new AbortController())
    const watchdog = new Watchdog(() => connection.abort())
    let leave: (() => void) | null = null
    try {
      leave = await takeLane(connection.signal)
      const cursor = this.listener.cursor()
      watchdog.expect(this.limits.connectTimeout)
      const response = await this.http.send(`/api/runs/${this.runId}/events?heartbeat=event`, {
        headers: { Accept: 'text/event-stream', ...(cursor ? { 'Last-Event-ID': idOf(cursor) } : {}) },
        signal: connection.signal,
        timeout: 0,
      })
      if (response.status === 204 || response.body === null) {
        this.listener.onNothing()
        return true
      }
      this.#heard = Date.now()
      watchdog.expect(this.limits.silenceTimeout)
      this.listener.onOpen()
      await readEventStream(response.body, {
        onActivity: () => {
          this.#heard = Date.now()
          watchdog.expect(this.limits.silenceTimeout)
        },
        onRetry: (ms) => (this.#retry = ms),
        onMessage: (message) => {
          if (this.#ended || connection.signal.aborted) return
          if (message.id !== undefined) this.#attempt = 0
          this.#ended = this.listener.onMessage(message)
          if (this.#ended) connection.abort() // the server closes it too
        },
      })
      return this.#ended
    } catch (error) {
      if (this.#ended) return true
      throw error
    } finally {
      watchdog.stop()
      connection.abort()
      leave?.()
      this.#connection = null
    }
  }

  /** Waits for the next try, or gives up. */
  async #back(problem: SoraError | null): Promise<void> {
    const offline = !isOnline()
    this.#attempt += 1
    this.#vainSince = this.#attempt === 1 || offline ? Date.now() : (this.#vainSince ?? Date.now())
    if (Date.now() - this.#vainSince > this.limits.patience) {
      this.#fail(problem ?? ownError('connection_lost', this.http.language))
      return
    }
    const ms = delayOf({ attempt: this.#attempt, retry: this.#retry, retryAfter: problem?.retryAfter })
    this.listener.onTrouble({ offline, attempt: this.#attempt, retryAt: Date.now() + ms, error: problem })
    if (!this.#closed()) await this.#pause.wait(ms)
  }

  #fail(error: SoraError): void {
    this.close()
    this.listener.onFailure(error)
  }

  #noticed(signal: Signal): void {
    // Whatever the network was, it is another one now; and a page from the back/forward cache has lost its connections.
    const dead = signal !== 'visible' || Date.now() - this.#heard > STALE
    if (this.#connection !== null && dead) this.#connection.abort()
    if (signal !== 'offline') {
      this.#vainSince = null
      this.#pause.cut()
    }
  }
}

/** Calls `bite` when something expected does not come in time. Moving the time on costs no timer each. */
class Watchdog {
  #timer: ReturnType<typeof setTimeout> | undefined
  #due = 0

  constructor(private readonly bite: () => void) {}

  expect(ms: number): void {
    const sooner = this.#due === 0 || Date.now() + ms < this.#due
    this.#due = Date.now() + ms
    if (sooner) this.#sleep()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #sleep(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      if (Date.now() >= this.#due) this.bite()
      else this.#sleep()
    }, this.#due - Date.now())
  }
}

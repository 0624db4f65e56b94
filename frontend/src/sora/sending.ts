import { delayOf } from './backoff'
import { SoraError } from './errors'
import type { Trouble } from './follower'
import { Pause } from './pause'
import { isOnline, onSignal } from './signals'

const TRIES = 4
/** Nothing is wrong with the request, and trying again soon may do. A full house (429) is for the person to decide. */
const PASSING = new Set(['network', 'timeout', 'unavailable', 'draining', 'overloaded'])

/**
 * Sends one request until it is answered: again, with the same Idempotency-Key, when nobody knows whether it arrived, and when the server
 * is about to be replaced. Without a network it waits for one.
 */
export class Sending {
  readonly #pause = new Pause()
  #called_off = false

  /** Rejects with a SoraError; resolves with null when it was called off between two tries. */
  async send<T>(request: () => Promise<T>, onTrouble: (trouble: Trouble) => void): Promise<T | null> {
    const deaf = onSignal((signal) => signal === 'online' && this.#pause.cut())
    try {
      let attempt = 0
      for (;;) {
        try {
          return await request()
        } catch (error) {
          if (!(error instanceof SoraError) || !PASSING.has(error.code)) throw error
          const offline = !isOnline()
          attempt = offline ? 1 : attempt + 1
          if (attempt >= TRIES) throw error
          const ms = delayOf({ attempt, retryAfter: error.retryAfter })
          onTrouble({ offline, attempt, retryAt: Date.now() + ms, error })
          if (!this.#called_off) await this.#pause.wait(ms)
        }
        if (this.#called_off) return null
      }
    } finally {
      deaf()
    }
  }

  /** Not to be tried again. What is on its way arrives all the same. */
  callOff(): void {
    this.#called_off = true
    this.#pause.cut()
  }
}

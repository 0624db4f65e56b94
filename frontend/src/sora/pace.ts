import type { Timing } from './types'

/** How fast an answer comes, as the person sees it. */
export class Pace {
  #sentAt: number | null = null
  #firstAt: number | null = null
  #lastAt = 0
  #pieces = 0

  /** The request leaves now. Without it nothing is measured: what was written before one looked came at once. */
  sent(): void {
    this.#sentAt = performance.now()
    this.#firstAt = null
    this.#pieces = 0
  }

  piece(): void {
    if (this.#sentAt === null) return
    this.#lastAt = performance.now()
    this.#firstAt ??= this.#lastAt
    this.#pieces += 1
  }

  /** `tokens`: as the provider counted them, once it has; a piece of the answer is about one. */
  timing(tokens: number | undefined): Timing {
    if (this.#sentAt === null || this.#firstAt === null) return { firstTokenMs: null, tokensPerSecond: null }
    const seconds = (this.#lastAt - this.#firstAt) / 1000
    const after = (tokens ?? this.#pieces) - 1
    return {
      firstTokenMs: Math.round(this.#firstAt - this.#sentAt),
      tokensPerSecond: seconds > 0 && after > 0 ? after / seconds : null,
    }
  }
}

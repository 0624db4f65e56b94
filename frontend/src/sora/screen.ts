import type { Answer } from './answer'
import type { SoraError } from './errors'
import { onNextFrame } from './frame'
import type { Pace } from './pace'
import { IDLE } from './state'
import type { AnswerShape, Progress, RunState } from './types'

export interface RunHandlers {
  onProgress?: (progress: Progress) => void
  onComplete?: (state: RunState) => void
  onError?: (error: SoraError) => void
}

/** How a run stands, beside its answer. */
export type Standing = Omit<RunState, keyof AnswerShape | 'timing'>

/** What is shown of a run: a value, made anew once a frame at most while text arrives, and at once when something turns. */
export class Screen {
  /** What the next frame will show. */
  standing: Standing = IDLE
  #state = IDLE
  #cancelFrame: (() => void) | null = null
  readonly #listeners = new Set<() => void>()
  readonly #handlers = new Set<RunHandlers>()

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  readonly getSnapshot = (): RunState => this.#state

  listen(handlers: RunHandlers): () => void {
    this.#handlers.add(handlers)
    return () => this.#handlers.delete(handlers)
  }

  /** Has the handlers told, after whatever is going on. */
  tell(call: (handlers: RunHandlers) => void): void {
    for (const handlers of [...this.#handlers]) {
      queueMicrotask(() => this.#handlers.has(handlers) && call(handlers))
    }
  }

  /** Calls `show` with the next frame. */
  later(show: () => void): void {
    this.#cancelFrame ??= onNextFrame(show)
  }

  /** Shows it now. */
  show(answer: Answer, pace: Pace, news: Partial<Standing> = {}): void {
    this.freeze()
    this.standing = { ...this.standing, ...news }
    const shape = answer.shape()
    const timing = pace.timing(shape.usage?.output_tokens)
    this.#state = { ...this.standing, ...shape, timing }
    for (const listener of [...this.#listeners]) listener()
  }

  /** Shows nothing new until it is told to. */
  freeze(): void {
    this.#cancelFrame?.()
    this.#cancelFrame = null
  }
}

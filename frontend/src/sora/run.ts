import type { SoraClient } from './client'
import { Course } from './course'
import { SoraError, ownError } from './errors'
import type { StreamMessage } from './event_stream'
import { Follower, LIMITS, type FollowerListener, type Limits, type Trouble } from './follower'
import { toRetry, toStart, type Begun, type Request } from './request'
import { Screen, type RunHandlers, type Standing } from './screen'
import { Sending } from './sending'
import { IDLE, isActive } from './state'
import type { Inputs, Kind, RunEvent, RunState } from './types'

export interface RunOptions extends Partial<Limits> {
  /** ms after which an answer that has not ended is stopped, and is a `timeout`. By default only the server's own limits hold. */
  timeout?: number
}

/**
 * One question and its answer, for whoever shows them: `subscribe` and `getSnapshot` are what React's useSyncExternalStore wants, and the
 * stores of other frameworks too.
 *
 * One thing at a time: `start` while something is under way does nothing. The run itself lives on the server: `close`, `reset` and
 * `attach` only stop looking at it, `stop` ends it.
 */
export class Run {
  #course = new Course()
  #request: Request | null = null
  #sent: Promise<string | null> = Promise.resolve(null)
  #follower: { close: () => void } | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #open = true
  readonly #screen = new Screen()
  protected readonly limits: Limits

  constructor(
    protected client: SoraClient,
    private readonly options: RunOptions = {},
  ) {
    this.limits = { ...LIMITS, ...options }
  }

  /** Asks through another client from the next request on: one of another language, or with another token. */
  through(client: SoraClient): void {
    this.client = client
  }

  readonly subscribe = (listener: () => void): (() => void) => this.#screen.subscribe(listener)
  readonly getSnapshot = (): RunState => this.#screen.getSnapshot()

  /** Has what happens told; returns what ends that. */
  listen(handlers: RunHandlers): () => void {
    return this.#screen.listen(handlers)
  }

  /** The id of the new run; null when none was started: something is under way, or the state says what went wrong. */
  async start<K extends Kind>(kind: K, input: Inputs[K]): Promise<string | null> {
    return await this.begin(toStart(() => this.client, kind, input, (part) => this.#set({ upload: part })))
  }

  /** Follows a run from its first event, whoever started it. */
  attach(runId: string): void {
    const { standing } = this.#screen
    if (standing.runId === runId && (isActive(standing) || this.#course.final)) return
    this.#clear()
    this.#follow({ runId, target: runId })
  }

  /** Ends the run, for everybody who follows it; what has arrived is kept. Resolves when the server has heard of it. */
  async stop(): Promise<void> {
    if (!isActive(this.#screen.standing) || this.#course.stop !== 'no') return
    this.#course.stop = 'wanted'
    this.#course.sending?.callOff()
    await this.#sent
    await this.#cancel()
  }

  /**
   * Again, after a failure or an end: a request that was refused or lost is sent once more (and not twice: its key is the same), a run
   * that was lost sight of is followed on, one that has ended is started anew.
   */
  async retry(): Promise<string | null> {
    if (isActive(this.#screen.standing)) return null
    if (this.#course.target !== null && !this.#course.final) {
      const { runId } = this.#screen.standing
      this.#follow({ runId, target: this.#course.target })
      return runId
    }
    const request = this.#course.target === null ? this.#request : this.again()
    return request && (await this.begin(request))
  }

  /** As if nothing had happened. A run that is under way goes on without being looked at. */
  reset(): void {
    this.#clear()
    this.#request = null
    this.#show()
  }

  /** Stops looking, until `open`. */
  close(): void {
    this.#open = false
    this.#unfollow()
    this.#screen.freeze()
  }

  /** Looks again, and goes on where it was. */
  open(): void {
    if (this.#open) return
    this.#open = true
    this.#look()
    this.#set({})
  }

  /** Sends what starts something, unless something is under way. */
  protected async begin(request: Request): Promise<string | null> {
    if (isActive(this.#screen.standing)) return null
    this.#clear()
    this.#request = request
    this.#course.pace.sent()
    this.#show({ status: 'connecting' })
    if (this.options.timeout) this.#timer = setTimeout(() => this.#expire(), this.options.timeout)
    this.#sent = this.#send(request)
    return await this.#sent
  }

  /** What starts the run that has ended once more. */
  protected again(): Request | null {
    const { runId } = this.#screen.standing
    return runId === null ? null : toRetry(() => this.client, runId)
  }

  protected connect(target: string, listener: FollowerListener): { close: () => void } {
    return new Follower(target, this.client.http, listener, this.limits)
  }

  async #send(request: Request): Promise<string | null> {
    const sending = (this.#course.sending = new Sending())
    const current = () => this.#course.sending === sending
    try {
      const begun = await sending.send(request, (trouble) => current() && this.#troubled(trouble))
      if (current() && begun) this.#follow(begun)
      else if (current()) this.#cancelled() // between two tries
      return begun?.runId ?? null
    } catch (error) {
      if (current()) this.#fail(this.#told(error))
      return null
    } finally {
      if (current()) this.#course.sending = null
    }
  }

  #follow({ runId, target }: Begun): void {
    this.#course.target = target
    this.#course.final = false
    this.#show({ status: 'connecting', runId, error: null, attempt: 0, retryAt: null, upload: null })
    this.#look()
  }

  #look(): void {
    if (!this.#open || this.#follower || this.#course.target === null || !isActive(this.#screen.standing)) return
    this.#follower = this.connect(this.#course.target, {
      cursor: () => this.#course.reception.cursor,
      onOpen: () => this.#set({ status: this.#working(), error: null, attempt: 0, retryAt: null }),
      onMessage: (message) => this.#hear(message),
      onTrouble: (trouble) => this.#troubled(trouble),
      onNothing: () => void this.#settle(),
      onFailure: (error) => this.#fail(error),
    })
  }

  #unfollow(): void {
    this.#follower?.close()
    this.#follower = null
  }

  /** Whether this was the last message. */
  #hear(message: StreamMessage): boolean {
    const heard = this.#course.reception.hear(message)
    if (heard === null) return false
    if (heard === 'lost') {
      this.#fail(this.#own('bad_response'))
      return true
    }
    const { event, cursor } = heard
    if (event.type === 'progress') this.#screen.tell(({ onProgress }) => onProgress?.(event))
    if (cursor === null) return this.#aside(event)
    this.#course.inquired = false
    if (event.type === 'delta') this.#course.pace.piece()
    if (this.#ends(event)) return true
    this.#set({ runId: cursor.runId, status: this.#working() })
    if (this.#course.stop === 'wanted') void this.#cancel() // before the run had a name
    return false
  }

  #ends(event: RunEvent): boolean {
    const ends = event.type === 'done' || event.type === 'error' || event.type === 'cancelled'
    this.#course.final ||= ends
    if (event.type === 'error') this.#fail(new SoraError(event))
    else if (event.type === 'done') this.#end({ status: 'completed', finishReason: event.finish_reason })
    else if (event.type === 'cancelled') this.#cancelled()
    return ends
  }

  /** What has no place among the events; whether it was the last message. */
  #aside(event: RunEvent): boolean {
    if (event.type === 'progress') this.#set({ status: 'saving' })
    if (event.type !== 'error') return false
    this.#fail(new SoraError(event)) // ends this reader, and says nothing about the run
    return true
  }

  /** The stream was closed for good, and did not say how it ended: the run itself is asked, once. */
  async #settle(): Promise<void> {
    this.#unfollow()
    const { runId } = this.#screen.standing
    const reception = this.#course.reception
    try {
      const info = runId === null || this.#course.inquired ? null : await this.client.runs.show(runId)
      if (reception !== this.#course.reception) return // meanwhile it is about something else
      if (info === null) throw this.#own(runId === null ? 'unavailable' : 'connection_lost')
      this.#course.inquired = true
      this.#course.final = info.text === reception.answer.shape().text && info.ended_at !== null
      if (!this.#course.final) this.#look()
      else if (info.status === 'completed') this.#end({ status: 'completed', finishReason: info.finish_reason })
      else if (info.status === 'cancelled') this.#cancelled()
      else throw info.error ? new SoraError(info.error) : this.#own('connection_lost')
    } catch (error) {
      if (reception === this.#course.reception) this.#fail(this.#told(error))
    }
  }

  async #cancel(): Promise<void> {
    const { runId } = this.#screen.standing
    if (runId === null || this.#course.stop !== 'wanted') return
    this.#course.stop = 'asked'
    try {
      await new Sending().send(() => this.client.runs.cancel(runId), () => undefined)
    } catch (error) {
      if (this.#screen.standing.runId !== runId || !isActive(this.#screen.standing)) return
      this.#course.stop = 'no'
      this.#set({ error: this.#told(error) })
    }
  }

  #expire(): void {
    this.#course.late = this.#course.stop === 'no'
    void this.stop()
  }

  #cancelled(): void {
    if (this.#course.late) this.#fail(this.#own('timeout'))
    else this.#end({ status: 'cancelled' })
  }

  #working(): Standing['status'] {
    return this.#course.reception.answer.begun ? 'streaming' : 'waiting'
  }

  #troubled({ offline, attempt, retryAt, error }: Trouble): void {
    this.#show({ status: offline ? 'offline' : 'reconnecting', attempt, retryAt, error })
  }

  #fail(error: SoraError): void {
    const retryAt = error.retryAfter === undefined ? null : Date.now() + error.retryAfter * 1000
    this.#end({ status: error.code === 'interrupted' ? 'interrupted' : 'failed', error, retryAt })
    this.#screen.tell(({ onError }) => onError?.(error))
  }

  #end(news: Partial<Standing>): void {
    clearTimeout(this.#timer)
    this.#unfollow()
    this.#course.stop = 'no'
    this.#show({ error: null, attempt: 0, retryAt: null, upload: null, ...news })
    const state = this.getSnapshot()
    if (state.status === 'completed') this.#screen.tell(({ onComplete }) => onComplete?.(state))
  }

  #clear(): void {
    clearTimeout(this.#timer)
    this.#unfollow()
    this.#screen.freeze()
    this.#screen.standing = IDLE
    this.#course = new Course()
  }

  #told(error: unknown): SoraError {
    return error instanceof SoraError ? error : this.#own('bad_response')
  }

  #own(code: Parameters<typeof ownError>[0]): SoraError {
    return ownError(code, this.client.http.language)
  }

  #set(news: Partial<Standing>): void {
    this.#screen.standing = { ...this.#screen.standing, ...news }
    if (this.#open) this.#screen.later(() => this.#show())
  }

  #show(news: Partial<Standing> = {}): void {
    this.#screen.show(this.#course.reception.answer, this.#course.pace, news)
  }
}

import { Rope } from './rope'
import type { AnswerShape, Progress, RunEvent } from './types'

type Aside = Extract<RunEvent, { type: 'progress' | 'source' | 'metadata' | 'result' | 'usage' }>

type Rest = Omit<AnswerShape, 'text' | 'reasoning'>

const NOTHING: Rest = { progress: [], sources: [], metadata: null, result: null, usage: null }

/** What a run's events amount to. Events come in their order, each once; `rewind` takes back the last ones. */
export class Answer {
  readonly #text = new Rope()
  readonly #reasoning = new Rope()
  #asides: { seq: number; event: Aside }[] = []
  #rest: Rest = NOTHING

  /** Number of deltas, which is the index of the next one. */
  get deltas(): number {
    return this.#text.size
  }

  get begun(): boolean {
    return this.#text.size > 0 || this.#reasoning.size > 0
  }

  add(seq: number, event: RunEvent): void {
    switch (event.type) {
      case 'delta':
        this.#text.append(seq, event.text)
        break
      case 'reasoning':
        this.#reasoning.append(seq, event.text)
        break
      case 'progress':
      case 'source':
      case 'metadata':
      case 'result':
      case 'usage':
        this.#asides.push({ seq, event })
        this.#rest = withAside(this.#rest, event)
        break
      default: // how it goes and ends is the run's matter
    }
  }

  /** Drops what came after `seq`. */
  rewind(seq: number): void {
    this.#text.rewind(seq)
    this.#reasoning.rewind(seq)
    this.#asides = this.#asides.filter((aside) => aside.seq <= seq)
    this.#rest = this.#asides.reduce((rest, { event }) => withAside(rest, event), NOTHING)
  }

  shape(): AnswerShape {
    return { text: this.#text.toString(), reasoning: this.#reasoning.toString(), ...this.#rest }
  }
}

function withAside(rest: Rest, event: Aside): Rest {
  switch (event.type) {
    case 'progress': {
      const { node, stage, status, message } = event
      return { ...rest, progress: latest(rest.progress, { node, stage, status, message }) }
    }
    case 'source':
      return { ...rest, sources: [...rest.sources, { url: event.url, title: event.title }] }
    case 'metadata':
      return { ...rest, metadata: { ...rest.metadata, ...event.data } }
    case 'result':
      return { ...rest, result: event.data }
    case 'usage': {
      const { input_tokens, output_tokens, total_tokens } = event
      return { ...rest, usage: { input_tokens, output_tokens, total_tokens } }
    }
  }
}

function latest(progress: readonly Progress[], news: Progress): readonly Progress[] {
  const at = progress.findIndex(({ node, stage }) => node === news.node && stage === news.stage)
  return at < 0 ? [...progress, news] : progress.with(at, news)
}

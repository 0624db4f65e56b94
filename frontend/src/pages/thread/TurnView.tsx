import { Paperclip, Pencil, RotateCcw } from 'lucide-react'
import { memo, useMemo, useState, type ReactNode, type RefObject } from 'react'

import { moment } from '../../app/dates'
import { Developer } from '../../app/Developer'
import { Alert, RunNote } from '../../app/RunNote'
import { useSettings, useWords } from '../../app/settings'
import { troubleWords } from '../../app/troubleWords'
import { words } from '../../app/words'
import { isActive, type RunState, type Source } from '../../sora'
import { Actions } from '../../ui/Actions'
import { Button, IconButton } from '../../ui/Button'
import { Copy } from '../../ui/Copy'
import { From } from '../../ui/From'
import { Markdown } from '../../ui/markdown/Markdown'
import { Edit } from './Edit'
import { Asked } from './Sources'
import type { Turn } from './turns'
import css from './TurnView.module.css'
import { threadWords } from './words'

/** What a page shows of an answer beside its text. */
export interface Extras {
  above?: (run: RunState | null) => ReactNode
  below?: (answer: Answer, turn: Turn) => ReactNode
}

export interface Answer {
  sources: readonly Source[]
  metadata: RunState['metadata']
  /** The run, when the page follows it. */
  run: RunState | null
}

interface Props {
  turn: Turn
  /** The run, for the turn that is its. */
  run: RunState | null
  extras: Extras
  last: boolean
  busy: boolean
  /** For what is kept in sight as it grows: the end of the text, not of what comes with it. */
  end: RefObject<HTMLDivElement | null>
  onAgain: (turn: Turn) => void
  onAsk: (text: string) => void
}

/** A question and its answer, still written or kept. */
export const TurnView = memo(function TurnView({ turn, run, extras, last, busy, end, onAgain, onAsk }: Props) {
  const w = useWords(threadWords)
  const common = useWords(words)
  const { language } = useSettings()
  const { kept, question } = turn
  const [editing, setEditing] = useState(false)
  const text = run ? run.text : (kept?.text ?? '')
  const status = run ? run.status : (kept?.status ?? 'completed')
  const growing = run !== null && isActive(run)
  const sources = run?.sources.length ? run.sources : (kept?.sources ?? NONE)
  const metadata = run?.metadata ?? kept?.metadata ?? null
  // By what they say: the kept answer's are another array, and all of the text would be drawn anew for it.
  const urls = sources.map((source) => source.url).join('\n')
  const pictures = useMemo(() => new Set(urls.split('\n')), [urls])

  return (
    <article className={css.turn}>
      {editing && last ? (
        <Edit text={question.text} busy={busy} onAsk={onAsk} onClose={() => setEditing(false)} />
      ) : (
        <div className={css.question}>
          <div className={css.bubble}>
            <span className="visually-hidden">{w.question}: </span>
            {question.text}
            {question.files.length > 0 && (
              <ul className={css.files}>
                {question.files.map((file, at) => (
                  <li key={at}>
                    <Paperclip size={13} aria-hidden />
                    {file}
                  </li>
                ))}
              </ul>
            )}
          </div>
          <div className={css.meta}>
            <time dateTime={question.at}>{moment(question.at, language)}</time>
            {last && !busy && (
              <IconButton label={w.edit} onClick={() => setEditing(true)}>
                <Pencil size={15} aria-hidden />
              </IconButton>
            )}
          </div>
        </div>
      )}
      <div className={css.answer} aria-busy={growing}>
        <From>{w.answer}</From>
        {extras.above?.(run)}
        {text !== '' && (
          <div>
            <Markdown text={text} growing={growing} pictures={pictures} />
            <Partial status={status} />
          </div>
        )}
        {run ? <RunNote run={run} onRetry={() => onAgain(turn)} /> : <KeptNote turn={turn} last={last} onAgain={onAgain} />}
        {run && last && <div ref={end} className={css.end} />}
        <Asked value={question.text}>{!growing && extras.below?.({ sources, metadata, run }, turn)}</Asked>
        {!growing && text !== '' && (
          <Actions>
            <Copy text={text} label={common.copy} />
            {last && !busy && turn.runId !== null && (
              <IconButton label={w.again} onClick={() => onAgain(turn)}>
                <RotateCcw size={16} aria-hidden />
              </IconButton>
            )}
            {kept && <time dateTime={kept.at}>{moment(kept.at, language)}</time>}
          </Actions>
        )}
        {run && <Developer run={run} />}
      </div>
    </article>
  )
})

const NONE: readonly Source[] = []

/** Says of a text that it is not the whole answer. */
function Partial({ status }: { status: string }) {
  const w = useWords(troubleWords)
  if (status === 'interrupted' || status === 'failed') return <span className={css.partial}> {w.partial}</span>
  if (status === 'cancelled') return <span className={css.partial}> {w.stoppedHere}</span>
  return null
}

/** What became of an answer that an earlier visit did not get in full. */
function KeptNote({ turn, last, onAgain }: { turn: Turn; last: boolean; onAgain: (turn: Turn) => void }) {
  const w = useWords(troubleWords)
  const common = useWords(words)
  const status = turn.kept?.status
  if (status !== 'failed' && status !== 'interrupted') return null
  return (
    <Alert text={status === 'interrupted' ? w.interrupted : w.failed}>
      {last && <Button onClick={() => onAgain(turn)}>{common.again}</Button>}
    </Alert>
  )
}

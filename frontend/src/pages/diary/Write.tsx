import { Check, PenLine, RotateCcw, Square } from 'lucide-react'
import { useId, type KeyboardEvent, type RefObject, type SyntheticEvent } from 'react'

import { Developer } from '../../app/Developer'
import { RunNote } from '../../app/RunNote'
import { useWords } from '../../app/settings'
import { words } from '../../app/words'
import { isActive } from '../../sora'
import { Button } from '../../ui/Button'
import { Copy } from '../../ui/Copy'
import { From } from '../../ui/From'
import { Plain } from '../../ui/Plain'
import { Persona } from './Persona'
import { useDiaryRun } from './useDiaryRun'
import { diaryWords } from './words'
import css from './Write.module.css'

/** Characters of an entry, as the server has it by default. */
const MOST = 20_000

interface Props {
  date: string
  onSaved: () => void
  onSent: () => void
  /** For the end of what is written. */
  end: RefObject<HTMLDivElement | null>
}

/** The entry of a day, and the review of it as it is written. */
export function Write({ date, onSaved, onSent, end }: Props) {
  const w = useWords(diaryWords)
  const common = useWords(words)
  const { run, draft, setDraft, type, setType, sent, send, again, fresh } = useDiaryRun(date, onSaved)
  const hintId = useId()
  const busy = isActive(run)
  const over = draft.length - MOST
  const ready = draft.trim() !== '' && over <= 0 && !busy

  const go = () => {
    if (!ready) return
    void send()
    onSent()
  }
  const submit = (event: SyntheticEvent) => {
    event.preventDefault()
    go()
  }
  const pressed = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !event.nativeEvent.isComposing) go()
  }

  return (
    <>
      <form className={css.card} onSubmit={submit}>
        <textarea
          aria-label={w.entry}
          aria-describedby={hintId}
          placeholder={w.placeholder}
          value={draft}
          readOnly={busy}
          onChange={(event) => setDraft(event.target.value)}
          onKeyDown={pressed}
        />
        <span id={hintId} className="visually-hidden">
          {w.hint}
        </span>
        <div className={css.row}>
          <Persona value={type} onChange={setType} disabled={busy} />
          <div className={css.end}>
            {over > 0 && (
              <span className={css.over} role="alert">
                {w.tooLong(over)}
              </span>
            )}
            {busy ? (
              <Button key="stop" onClick={(event) => void (event.detail < 2 && run.stop())}>
                <Square size={14} fill="currentColor" aria-hidden />
                {w.stop}
              </Button>
            ) : (
              <Button key="send" look="main" type="submit" disabled={!ready}>
                {w.send}
              </Button>
            )}
          </div>
        </div>
      </form>
      {run.status !== 'idle' && (
        <section className={css.answer} aria-label={w.answer} aria-busy={busy}>
          {sent !== null && sent.body !== draft && <p className={css.own}>{sent.body}</p>}
          <From>{w.answer}</From>
          {run.text !== '' && <Plain text={run.text} growing={busy} status={run.status} />}
          <RunNote run={run} onRetry={() => void run.retry()} />
          {!busy && run.text !== '' && (
            <div className={css.done}>
              {run.status === 'completed' && (
                <span className={css.saved}>
                  <Check size={16} aria-hidden />
                  {w.saved}
                </span>
              )}
              <Button look="quiet" onClick={again}>
                <RotateCcw size={16} aria-hidden />
                {w.again}
              </Button>
              <Button look="quiet" onClick={fresh}>
                <PenLine size={16} aria-hidden />
                {w.fresh}
              </Button>
              <Copy text={run.text} label={common.copy} />
            </div>
          )}
          <Developer run={run} />
          <div ref={end} />
        </section>
      )}
    </>
  )
}

import { CircleAlert, RotateCw, WifiOff } from 'lucide-react'
import type { ReactNode } from 'react'

import type { RunState } from '../sora'
import { Button, joined, LinkButton } from '../ui/Button'
import { loginUrl } from './place'
import css from './RunNote.module.css'
import { useWords } from './settings'
import { headingOf, troubleWords } from './troubleWords'
import { useCountdown } from './useCountdown'
import { words } from './words'

interface Props {
  run: RunState
  onRetry: () => void
}

/** What a person should know about an answer besides its text: what it waits for, what went wrong, what one can do. */
export function RunNote({ run, onRetry }: Props) {
  const w = useWords(troubleWords)
  switch (run.status) {
    case 'connecting':
      return run.upload !== null && run.upload < 1 ? (
        <Waiting>
          {w.uploading(Math.round(run.upload * 100))}
          <span className={css.bar}>
            <i style={{ width: `${run.upload * 100}%` }} />
          </span>
        </Waiting>
      ) : (
        <Waiting>{run.runId === null ? w.sending : w.thinking}</Waiting>
      )
    case 'waiting':
      return <Waiting>{stage(run) ?? w.thinking}</Waiting>
    case 'saving':
      return <Waiting>{w.saving}</Waiting>
    case 'reconnecting':
    case 'offline':
      return <Lost run={run} />
    case 'failed':
    case 'interrupted':
      return <Failed run={run} onRetry={onRetry} />
    case 'cancelled':
      return <p className={css.note}>{w.cancelled}</p>
    case 'completed':
      return run.finishReason === 'length' ? <p className={css.note}>{w.length}</p> : null
    default:
      return null
  }
}

/** What the server says that it is doing. */
function stage(run: RunState): string | undefined {
  return run.progress.findLast((step) => step.status === 'in_progress')?.message
}

export function Waiting({ children }: { children: ReactNode }) {
  return (
    <p className={css.note}>
      <span className={css.dots} aria-hidden="true">
        <i />
        <i />
        <i />
      </span>
      {children}
    </p>
  )
}

function Lost({ run }: { run: RunState }) {
  const w = useWords(troubleWords)
  const seconds = useCountdown(run.retryAt)
  const offline = run.status === 'offline'
  const draining = run.error?.code === 'draining'
  return (
    <div className={joined(css.note, css.trouble)} role="status">
      {offline ? <WifiOff size={18} aria-hidden /> : <RotateCw size={18} aria-hidden />}
      <span className={css.words}>{offline ? w.offline : draining ? w.draining : w.reconnecting}</span>
      {!offline && seconds > 1 && <span aria-hidden="true">{w.inSeconds(seconds)}</span>}
    </div>
  )
}

function Failed({ run, onRetry }: Props) {
  const w = useWords(troubleWords)
  const common = useWords(words)
  const seconds = useCountdown(run.retryAt)
  const { error } = run
  const code = error?.code ?? 'internal'
  if (code === 'unauthorized') {
    return (
      <Alert title={common.signedOut} text={common.signedOutWhy}>
        {loginUrl && <LinkButton href={loginUrl}>{common.signIn}</LinkButton>}
      </Alert>
    )
  }
  const busy = code === 'conversation_busy'
  const title = run.status === 'interrupted' || busy ? undefined : w[headingOf(code, run.runId !== null)]
  const told = error?.details.length ? error.details.map((detail) => detail.message).join(' ') : error?.message
  const text = run.status === 'interrupted' ? w.interrupted : busy ? w.conversation : (told ?? '')
  return (
    <Alert title={title} text={text}>
      <Button disabled={seconds > 0} onClick={onRetry}>
        <RotateCw size={16} aria-hidden />
        {seconds > 0 ? w.inSeconds(seconds) : common.again}
      </Button>
    </Alert>
  )
}

export function Alert({ title, text, children }: { title?: string | undefined; text: string; children?: ReactNode }) {
  return (
    <div className={joined(css.note, css.bad)}>
      <CircleAlert size={18} aria-hidden />
      <span className={css.words}>
        {title && <strong>{title}</strong>}
        {text}
      </span>
      {children}
    </div>
  )
}

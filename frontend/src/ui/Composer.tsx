import { ArrowUp, Square } from 'lucide-react'
import { useEffect, useId, useRef, type KeyboardEvent, type ReactNode, type SyntheticEvent } from 'react'

import { useWords } from '../app/settings'
import { words } from '../app/words'
import { IconButton } from './Button'
import css from './Composer.module.css'

interface Props {
  label: string
  hint: string
  placeholder: string
  value: string
  onChange: (value: string) => void
  onSend: () => void
  onStop: () => void
  /** Whether an answer is under way: what was a button to send stops it, but not with the second click of a double one. */
  busy: boolean
  canSend: boolean
  /** Above the text, such as files. */
  above?: ReactNode
  /** Beside the button. */
  children?: ReactNode
  onPaste?: (files: File[]) => void
}

/** Where a message is written. Enter sends it, unless it ends the composition of a Hangul syllable. */
export function Composer(props: Props) {
  const { label, hint, placeholder, value, onChange, onSend, onStop, busy, canSend } = props
  const w = useWords(words)
  const field = useRef<HTMLTextAreaElement>(null)
  const hintId = useId()

  useEffect(() => {
    // With a keyboard one goes on writing; on a phone it would cover the answer.
    if (matchMedia('(hover: hover)').matches) field.current?.focus()
    field.current?.setSelectionRange(-1, -1)
  }, [])

  const pressed = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' || event.shiftKey || event.nativeEvent.isComposing) return
    // Safari says by this alone that the key has ended a composition.
    // eslint-disable-next-line @typescript-eslint/no-deprecated
    if (event.keyCode === 229) return
    event.preventDefault()
    if (canSend && !busy) onSend()
  }
  const submit = (event: SyntheticEvent) => {
    event.preventDefault()
    if (canSend && !busy) onSend()
  }

  return (
    <form className={css.composer} onSubmit={submit}>
      {props.above}
      <textarea
        ref={field}
        rows={1}
        aria-label={label}
        aria-describedby={hintId}
        placeholder={placeholder}
        value={value}
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={pressed}
        onPaste={(event) => {
          const files = [...event.clipboardData.files]
          if (files.length === 0 || !props.onPaste) return
          event.preventDefault()
          props.onPaste(files)
        }}
      />
      <div className={css.row}>
        <div className={css.extras}>{props.children}</div>
        {busy ? (
          <IconButton key="stop" look="plain" label={w.stop} onClick={(event) => event.detail < 2 && onStop()}>
            <Square size={15} fill="currentColor" aria-hidden />
          </IconButton>
        ) : (
          <IconButton key="send" look="main" label={w.send} type="submit" disabled={!canSend}>
            <ArrowUp size={20} aria-hidden />
          </IconButton>
        )}
      </div>
      <span id={hintId} className="visually-hidden">
        {hint}
      </span>
    </form>
  )
}

import { useEffect, useId, useRef } from 'react'

import { useWords } from '../app/settings'
import { words } from '../app/words'
import { Button } from './Button'
import css from './Confirm.module.css'

interface Props {
  title: string
  text: string
  /** What the button says that does it. */
  action: string
  onConfirm: () => void
  onClose: () => void
}

/** Asks before something is gone for good. The browser's own modal dialog: it keeps the focus and closes by Escape. */
export function Confirm({ title, text, action, onConfirm, onClose }: Props) {
  const w = useWords(words)
  const dialog = useRef<HTMLDialogElement>(null)
  const [titleId, textId] = [useId(), useId()]

  useEffect(() => {
    const shown = dialog.current
    shown?.showModal()
    return () => shown?.close()
  }, [])

  return (
    <dialog
      ref={dialog}
      role="alertdialog"
      className={css.dialog}
      aria-labelledby={titleId}
      aria-describedby={textId}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
    >
      <h2 id={titleId}>{title}</h2>
      <p id={textId}>{text}</p>
      <div className={css.choices}>
        <Button look="quiet" onClick={onClose} autoFocus>
          {w.cancel}
        </Button>
        <Button
          look="bad"
          onClick={() => {
            onConfirm()
            onClose()
          }}
        >
          {action}
        </Button>
      </div>
    </dialog>
  )
}

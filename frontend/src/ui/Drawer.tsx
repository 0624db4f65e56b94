import { X } from 'lucide-react'
import { useEffect, useState, type ReactNode } from 'react'

import { useWords } from '../app/settings'
import { words } from '../app/words'
import { IconButton } from './Button'
import css from './Drawer.module.css'
import { Layer } from './layer'

/** What slides in from the side on a small screen. Closed by Escape, its button, or a touch beside it. */
export function Drawer({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const w = useWords(words)
  const [dialog, setDialog] = useState<HTMLDialogElement | null>(null)

  useEffect(() => {
    dialog?.showModal()
    return () => dialog?.close()
  }, [dialog])

  return (
    <dialog
      ref={setDialog}
      className={css.drawer}
      aria-label={title}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => {
        if (event.target !== event.currentTarget) return
        const box = event.currentTarget.getBoundingClientRect()
        if (event.clientX > box.right) onClose()
      }}
    >
      <div className={css.head}>
        {title}
        <IconButton label={w.close} onClick={onClose}>
          <X size={20} aria-hidden />
        </IconButton>
      </div>
      <Layer value={dialog}>{children}</Layer>
    </dialog>
  )
}

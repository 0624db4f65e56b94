import type { ReactNode } from 'react'

import { Mark } from './Mark'
import css from './Note.module.css'

/** Words in the place of a page, with what one can do. */
export function Note({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className={css.note}>
      <Mark size={40} />
      <p>{title}</p>
      {children}
    </div>
  )
}

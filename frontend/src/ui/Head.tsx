import type { ReactNode } from 'react'

import css from './Head.module.css'

/** The heading of a page, with what one can do there at its side. */
export function Head({ id, title, children }: { id?: string; title: string; children?: ReactNode }) {
  return (
    <div className={css.head}>
      <h1 id={id}>{title}</h1>
      {children}
    </div>
  )
}

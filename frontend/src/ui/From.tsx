import type { ReactNode } from 'react'

import css from './From.module.css'
import { Mark } from './Mark'

/** Above an answer: whose it is. */
export function From({ children }: { children: ReactNode }) {
  return (
    <div className={css.from}>
      <Mark size={20} />
      {children}
    </div>
  )
}

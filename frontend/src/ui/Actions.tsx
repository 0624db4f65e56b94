import type { ReactNode } from 'react'

import css from './Actions.module.css'

/** Below an answer: what one can do with it. The icons, not their round places, stand under the text's beginning. */
export function Actions({ children }: { children: ReactNode }) {
  return <div className={css.actions}>{children}</div>
}

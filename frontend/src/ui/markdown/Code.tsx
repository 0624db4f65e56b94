import { lazy, Suspense } from 'react'

import { useWords } from '../../app/settings'
import { words } from '../../app/words'
import { Copy } from '../Copy'
import css from './Code.module.css'

const Highlighted = lazy(() => import('./Highlighted'))
/** Characters that are coloured; more would hold up the page. */
const MOST = 8_000

interface Props {
  language: string
  code: string
  /** Whether it is still written; it is coloured when it is all there. */
  growing: boolean
}

export function Code({ language, code, growing }: Props) {
  const w = useWords(words)
  const colours = !growing && language !== '' && code.length <= MOST
  return (
    <figure className={css.code}>
      <figcaption>
        <span>{language}</span>
        <Copy text={code} label={w.copy} />
      </figcaption>
      <pre tabIndex={0}>
        <code>
          {colours ? (
            <Suspense fallback={code}>
              <Highlighted language={language} code={code} />
            </Suspense>
          ) : (
            code
          )}
        </code>
      </pre>
    </figure>
  )
}

/** A block that is fenced code, whole or still open; null for any other. */
export function fenced(block: string): { language: string; code: string } | null {
  const opening = /^\s*?(?:\n)? {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n]*\n?/.exec(block)
  if (!opening) return null
  const marks = opening[1] ?? ''
  const rest = block.slice(opening[0].length)
  const closing = new RegExp(`(?:^|\\n) {0,3}${marks[0] ?? ''}{${marks.length},}[ \\t]*\\s*$`)
  return { language: opening[2] ?? '', code: rest.replace(closing, '') }
}

import { memo } from 'react'

import { useWords } from '../app/settings'
import { troubleWords } from '../app/troubleWords'
import { joined } from './Button'
import growingCss from './Growing.module.css'
import css from './Plain.module.css'

interface Props {
  text: string
  growing?: boolean
  /** Of the run: a text that is not whole says so. */
  status?: string
}

/**
 * Characters of a paragraph's piece. Each piece begins on a new line, for good: as text is appended only the last one is laid out, and when
 * the answer ends nothing moves.
 */
const PIECE = 600

/** A text without markup, by paragraphs. */
export function Plain({ text, growing = false, status = 'completed' }: Props) {
  const w = useWords(troubleWords)
  const paragraphs = text.trimEnd().split(/\n{2,}/)
  const mark =
    status === 'interrupted' || status === 'failed' ? w.partial : status === 'cancelled' ? w.stoppedHere : null
  return (
    <div className={joined(css.plain, growing && growingCss.growing)}>
      {paragraphs.map((paragraph, at) => (
        <p key={at}>
          {pieces(paragraph).map((piece, number, all) => (
            <Piece key={number} text={piece} whole={number < all.length - 1} />
          ))}
          {at === paragraphs.length - 1 && mark !== null && <span className={css.partial}> {mark}</span>}
        </p>
      ))}
    </div>
  )
}

const Piece = memo(function Piece({ text, whole }: { text: string; whole: boolean }) {
  return <span className={whole ? css.whole : undefined}>{text}</span>
})

/** Cut after sentences, where a line may end for a while; else after a space, so that no letter is divided. */
function pieces(text: string): string[] {
  const found: string[] = []
  let start = 0
  while (text.length - start > PIECE) {
    const end = endOf(SENTENCE, text, start + PIECE, 2 * PIECE) ?? endOf(SPACE, text, start + 2 * PIECE)
    if (end === null) break
    found.push(text.slice(start, end))
    start = end
  }
  found.push(text.slice(start))
  return found
}

const SENTENCE = /[.!?…。]["'”’)\]]*\s/g
const SPACE = /\s/g

/** Where the first match from `from` on ends; null for none, or none within `most` characters. */
function endOf(pattern: RegExp, text: string, from: number, most = Infinity): number | null {
  pattern.lastIndex = from
  const found = pattern.exec(text)
  if (!found || found.index - from > most) return null
  return found.index + found[0].length
}

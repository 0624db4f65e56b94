import { lazy, memo, Suspense, useState } from 'react'

import { joined } from '../Button'
import growingCss from '../Growing.module.css'
import { Blocks, type Block } from './blocks'
import { Code, fenced } from './Code'
import css from './Markdown.module.css'

const Prose = lazy(() => import('./Prose'))

interface Props {
  text: string
  /** Whether text is still to come. */
  growing?: boolean
  /** Addresses of pictures that may be shown; others are links. */
  pictures?: ReadonlySet<string>
}

const NONE: ReadonlySet<string> = new Set()

/**
 * Markdown, also while it is written. Only the last block is parsed anew when text is appended; the others stay as they are. HTML in
 * it is shown as text.
 */
export function Markdown({ text, growing = false, pictures = NONE }: Props) {
  const [blocks] = useState(() => new Blocks())
  const divided = blocks.divide(text)
  return (
    <div className={joined(css.markdown, growing && growingCss.growing)}>
      {paragraphs(divided).map((group, at, all) => {
        const last = at === all.length - 1
        if (group.length === 1 && group[0]) {
          return <Piece key={at} text={group[0].text} growing={growing && last} pictures={pictures} />
        }
        return (
          <div key={at} className={css.joined}>
            {group.map((block, number) => (
              <Piece
                key={number}
                text={block.text}
                growing={growing && last && number === group.length - 1}
                pictures={pictures}
              />
            ))}
          </div>
        )
      })}
    </div>
  )
}

/** The blocks, those of one paragraph together. */
function paragraphs(blocks: readonly Block[]): Block[][] {
  const groups: Block[][] = []
  for (const block of blocks) {
    const open = groups.at(-1)
    if (block.joins && open) open.push(block)
    else groups.push([block])
  }
  return groups
}

interface PieceProps {
  text: string
  growing: boolean
  pictures: ReadonlySet<string>
}

const Piece = memo(function Piece({ text, growing, pictures }: PieceProps) {
  const code = fenced(text)
  if (code) return <Code language={code.language} code={code.code} growing={growing} />
  return (
    <Suspense fallback={<p className={css.raw}>{text}</p>}>
      <Prose text={text} pictures={pictures} />
    </Suspense>
  )
})

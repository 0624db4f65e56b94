import { Undo2 } from 'lucide-react'
import { useEffect, useId, useState } from 'react'
import { useSearchParams } from 'wouter'

import { NotLoaded } from '../../app/NotLoaded'
import { Waiting } from '../../app/RunNote'
import { useSession } from '../../app/session'
import { useWords } from '../../app/settings'
import { useLoaded } from '../../app/useLoaded'
import { words } from '../../app/words'
import { useSora, type DocumentPage } from '../../sora'
import { Button, IconButton, joined } from '../../ui/Button'
import { Head } from '../../ui/Head'
import { Markdown } from '../../ui/markdown/Markdown'
import { Rows } from '../../ui/Rows'
import css from './Document.module.css'
import { passagesOf, type PassageText } from './passages'
import { useMarked } from './useMarked'
import { documentWords } from './words'

/** A document that an answer refers to. `?q=` is the question: what says something to it is marked. */
export default function Document({ id }: { id: string }) {
  const w = useWords(documentWords)
  const common = useWords(words)
  const client = useSora()
  const { noticed } = useSession()
  const [params] = useSearchParams()
  const loaded = useLoaded(id, () => client.documents.show(id, { limit: PAGE }))
  const [later, setLater] = useState<DocumentPage[]>([])
  const marked = useMarked(id, params.get('q') ?? '')
  const titleId = useId()
  const { data, error } = loaded
  useEffect(() => noticed(error), [noticed, error])

  const pages = data === null ? [] : [data, ...later]
  const pieces = pages.flatMap((page) => page.pieces)
  const next = pages.at(-1)?.nextCursor ?? null
  const columns = data?.sheets[0]?.columns.map(({ name }) => name) ?? []
  const table = columns.length > 0 && data?.sheets.length === 1 && pieces.every((piece) => piece.cells !== undefined)

  const found = pieces.some(({ position }) => position === marked)
  useEffect(() => {
    if (found) document.querySelector('[data-marked="true"]')?.scrollIntoView({ block: 'nearest' })
  }, [found])

  const load = () => {
    if (next !== null) {
      client.documents.show(id, { limit: PAGE, after: next }).then((page) => setLater([...later, page]), noticed)
    }
  }

  return (
    <div className={css.place}>
      <article className={joined(css.document, table && css.wide)} aria-labelledby={titleId}>
        <Head id={titleId} title={data?.title ?? ''}>
          {history.length > 1 && (
            <IconButton label={w.back} onClick={() => history.back()}>
              <Undo2 size={20} aria-hidden />
            </IconButton>
          )}
        </Head>
        {data === null && error === null && <Waiting>{common.loading}</Waiting>}
        {data === null && error !== null && <NotLoaded error={error} onRetry={loaded.reload} />}
        {data && (
          <p className={css.about}>
            {[
              data.name === data.title ? null : data.name,
              data.scope === 'shared' ? w.shared : w.own,
              table ? w.rows(data.sheets[0]?.rows ?? 0) : w.passages(data.passages),
              found ? w.marked : null,
            ]
              .filter((one) => one !== null)
              .join(' · ')}
          </p>
        )}
        {table ? (
          <Rows
            labelledBy={titleId}
            columns={columns}
            rows={pieces.map((piece) => piece.cells ?? {})}
            marked={pieces.findIndex(({ position }) => position === marked)}
          />
        ) : (
          passagesOf(data?.title ?? '', pieces).map((passage) => (
            <Passage key={passage.position} {...passage} marked={passage.position === marked} />
          ))
        )}
        {next !== null && (
          <Button look="quiet" onClick={load}>
            {common.more}
          </Button>
        )}
      </article>
    </div>
  )
}

const PAGE = 100

function Passage({ heading, text, marked }: Omit<PassageText, 'position'> & { marked: boolean }) {
  const w = useWords(documentWords)
  return (
    <section className={css.piece} data-marked={marked} aria-label={marked ? w.here : undefined}>
      {heading !== '' && <h2>{heading}</h2>}
      <Markdown text={text} />
    </section>
  )
}

import { useEffect, useState } from 'react'

import { longDay } from '../../app/dates'
import { NotLoaded } from '../../app/NotLoaded'
import { useSession } from '../../app/session'
import { useSettings, useWords } from '../../app/settings'
import { useLast } from '../../app/useLast'
import { useLoaded } from '../../app/useLoaded'
import { words } from '../../app/words'
import { useSora, type Page, type Review } from '../../sora'
import { Button } from '../../ui/Button'
import css from './PastDays.module.css'
import { diaryWords } from './words'

interface Props {
  changes: number
  selected: string | null
  onDay: (day: string) => void
}

/** What was saved, newest first. */
export function PastDays({ changes, selected, onDay }: Props) {
  const w = useWords(diaryWords)
  const common = useWords(words)
  const { language } = useSettings()
  const client = useSora()
  const { noticed } = useSession()
  const key = String(changes)
  const first = useLoaded(key, () => client.reviews.list())
  const [more, setMore] = useState<{ after: Page<Review> | null; pages: Page<Review>[] }>({ after: null, pages: [] })
  const start = useLast(first.data)
  const later = more.after === start ? more.pages : []
  const pages = start === null ? [] : [start, ...later]
  const next = pages.at(-1)?.nextCursor ?? null
  useEffect(() => noticed(first.error), [noticed, first.error])

  const load = () => {
    if (next === null) return
    client.reviews.list({ after: next }).then((page) => setMore({ after: start, pages: [...later, page] }), noticed)
  }

  return (
    <section className={css.past} aria-label={w.days}>
      <h2>{w.days}</h2>
      {first.error !== null && start === null && (
        <NotLoaded error={first.error} onRetry={first.reload} />
      )}
      {start?.items.length === 0 && <p className={css.none}>{w.none}</p>}
      <ul className={css.list}>
        {pages
          .flatMap((page) => page.items)
          .map((review) => (
            <li key={review.id}>
              <button
                type="button"
                className={css.item}
                aria-current={review.date === selected}
                onClick={() => onDay(review.date)}
              >
                <span className={css.type} data-type={review.type}>
                  {review.type === 'FEELING' ? 'F' : 'T'}
                </span>
                <span className={css.day}>{longDay(review.date, language)}</span>
                <span className={css.words}>{review.body.trim().split('\n', 1)[0]}</span>
              </button>
            </li>
          ))}
      </ul>
      {next !== null && (
        <Button look="quiet" onClick={load}>
          {common.more}
        </Button>
      )}
    </section>
  )
}

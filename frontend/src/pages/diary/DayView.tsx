import { PenLine, Trash2, Undo2 } from 'lucide-react'
import { useEffect, useState } from 'react'

import { longDay } from '../../app/dates'
import { NotLoaded } from '../../app/NotLoaded'
import { Waiting } from '../../app/RunNote'
import { useSession } from '../../app/session'
import { useSettings, useWords } from '../../app/settings'
import { useLoaded } from '../../app/useLoaded'
import { words } from '../../app/words'
import { SoraError, useSora, type Review } from '../../sora'
import { Actions } from '../../ui/Actions'
import { Button, IconButton } from '../../ui/Button'
import { Confirm } from '../../ui/Confirm'
import { Copy } from '../../ui/Copy'
import { From } from '../../ui/From'
import { Head } from '../../ui/Head'
import { Plain } from '../../ui/Plain'
import { useToast } from '../../ui/Toasts'
import css from './DayView.module.css'
import { diaryWords } from './words'

interface Props {
  day: string
  changes: number
  onRemoved: () => void
  onBack: () => void
  onWrite: () => void
}

/** What was written on a day, and what was answered; the newest first, the others on request. */
export function DayView({ day, changes, onRemoved, onBack, onWrite }: Props) {
  const w = useWords(diaryWords)
  const common = useWords(words)
  const { language } = useSettings()
  const client = useSora()
  const { noticed } = useSession()
  const toast = useToast()
  const loaded = useLoaded(`${day} ${changes}`, () => ofDay(client, day))
  const [others, setOthers] = useState<Review[]>([])
  const [removing, setRemoving] = useState<string | null>(null)
  useEffect(() => noticed(loaded.error), [noticed, loaded.error])
  const [newest] = loaded.data ?? []
  const hidden = (newest?.others ?? []).filter((id) => !others.some((one) => one.id === id))
  const shown = newest ? [newest, ...others.filter((one) => newest.others.includes(one.id))] : []

  const showOthers = () => {
    Promise.all(hidden.map((id) => client.reviews.show(id))).then(
      (found) => setOthers((before) => [...before, ...found]),
      noticed,
    )
  }
  const remove = (id: string) => {
    client.reviews.remove(id).then(
      () => {
        toast(w.removed)
        onRemoved()
      },
      (error: unknown) => {
        noticed(error)
        if (error instanceof SoraError) toast(error.message)
      },
    )
  }

  return (
    <section aria-label={longDay(day, language)}>
      <Head title={longDay(day, language)}>
        <IconButton label={w.back} onClick={onBack}>
          <Undo2 size={20} aria-hidden />
        </IconButton>
      </Head>
      {loaded.data === null && loaded.error === null && <Waiting>{common.loading}</Waiting>}
      {loaded.error !== null && loaded.data === null && (
        <NotLoaded error={loaded.error} onRetry={loaded.reload} />
      )}
      {loaded.data?.length === 0 && (
        <div className={css.empty}>
          <p>{w.emptyDay}</p>
          <Button look="main" onClick={onWrite}>
            <PenLine size={16} aria-hidden />
            {w.writeFor}
          </Button>
        </div>
      )}
      {shown.map((review) => (
        <article key={review.id} className={css.review}>
          <p className={css.body}>{review.body}</p>
          <From>
            {w.answer} · {review.type === 'FEELING' ? `F ${w.FEELING}` : `T ${w.THINKING}`}
          </From>
          <Plain text={review.feedback} />
          <Actions>
            <Copy text={review.feedback} label={common.copy} />
            <IconButton label={w.remove} onClick={() => setRemoving(review.id)}>
              <Trash2 size={16} aria-hidden />
            </IconButton>
          </Actions>
        </article>
      ))}
      {newest && hidden.length > 0 && (
        <Button className={css.others} onClick={showOthers}>
          {w.others(hidden.length)}
        </Button>
      )}
      {removing !== null && (
        <Confirm
          title={w.removeTitle}
          text={w.removeText}
          action={w.remove}
          onConfirm={() => remove(removing)}
          onClose={() => setRemoving(null)}
        />
      )}
    </section>
  )
}

/** The newest review of the day; none when nothing was written. */
async function ofDay(
  client: ReturnType<typeof useSora>,
  day: string,
): Promise<Awaited<ReturnType<typeof client.reviews.day>>[]> {
  const [year = 0, month = 0, date = 0] = day.split('-').map(Number)
  try {
    return [await client.reviews.day(year, month, date)]
  } catch (error) {
    if (error instanceof SoraError && error.code === 'not_found') return []
    throw error
  }
}

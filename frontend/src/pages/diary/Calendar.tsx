import { ChevronLeft, ChevronRight } from 'lucide-react'
import { useState } from 'react'

import { dateOf, dayOf, longDay, monthName, today, weekdayName } from '../../app/dates'
import { useSettings, useWords } from '../../app/settings'
import { useLast } from '../../app/useLast'
import { useLoaded } from '../../app/useLoaded'
import { useSora } from '../../sora'
import { IconButton } from '../../ui/Button'
import css from './Calendar.module.css'
import { diaryWords } from './words'

interface Props {
  selected: string
  /** Another number when something was saved or deleted. */
  changes: number
  onDay: (day: string) => void
}

/** A month, with a mark on each day that has a review. */
export function Calendar({ selected, changes, onDay }: Props) {
  const w = useWords(diaryWords)
  const { language } = useSettings()
  const client = useSora()
  const [shown, setShown] = useState(() => monthOf(selected))
  const [year, month] = shown
  const loaded = useLoaded(`${year}-${month} ${changes}`, () => client.reviews.month(year, month))
  const known = useLast(loaded.data) ?? []
  const marks = new Map(known.map(({ day, feedbackType }) => [day, feedbackType]))
  const now = today()
  const move = (months: number) => setShown(monthOf(dayOf(new Date(year, month - 1 + months, 15))))

  return (
    <section aria-label={w.calendar}>
      <div className={css.head}>
        <IconButton label={w.previous} onClick={() => move(-1)}>
          <ChevronLeft size={20} aria-hidden />
        </IconButton>
        <h2 aria-live="polite">{monthName(year, month, language)}</h2>
        <IconButton label={w.next} disabled={now < firstAfter(year, month)} onClick={() => move(1)}>
          <ChevronRight size={20} aria-hidden />
        </IconButton>
      </div>
      <table className={css.grid}>
        <thead>
          <tr>
            {weekdays(language).map(([short, long]) => (
              <th key={long} scope="col" abbr={long}>
                {short}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {weeks(year, month).map((week, row) => (
            <tr key={row}>
              {week.map((day, column) => (
                <td key={column}>
                  {day !== null && (
                    <button
                      type="button"
                      className={css.day}
                      disabled={day > now}
                      data-today={day === now}
                      aria-current={day === selected ? 'date' : undefined}
                      onClick={() => onDay(day)}
                    >
                      <span aria-hidden="true">{dateOf(day).getDate()}</span>
                      <span className="visually-hidden">
                        {w.dayLabel(longDay(day, language), letter(marks.get(dateOf(day).getDate())))}
                      </span>
                      {marks.has(dateOf(day).getDate()) && (
                        <span className={css.mark} data-type={marks.get(dateOf(day).getDate())} />
                      )}
                    </button>
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <div className={css.legend} aria-hidden="true">
        <span>
          <i className={css.mark} data-type="FEELING" />F {w.FEELING}
        </span>
        <span>
          <i className={css.mark} data-type="THINKING" />T {w.THINKING}
        </span>
      </div>
    </section>
  )
}

function letter(type: 'FEELING' | 'THINKING' | undefined): string | null {
  return type === undefined ? null : type === 'FEELING' ? 'F' : 'T'
}

function monthOf(day: string): readonly [number, number] {
  const date = dateOf(day)
  const known = Number.isNaN(date.getTime()) ? new Date() : date
  return [known.getFullYear(), known.getMonth() + 1]
}

function firstAfter(year: number, month: number): string {
  return dayOf(new Date(year, month, 1))
}

/** The days of a month by weeks from Sunday on, null where the week is another month's. */
function weeks(year: number, month: number): (string | null)[][] {
  const blanks = new Date(year, month - 1, 1).getDay()
  const count = new Date(year, month, 0).getDate()
  const cells = Array.from({ length: Math.ceil((blanks + count) / 7) * 7 }, (_, at) => {
    const day = at - blanks + 1
    return day >= 1 && day <= count ? dayOf(new Date(year, month - 1, day)) : null
  })
  return Array.from({ length: cells.length / 7 }, (_, row) => cells.slice(row * 7, row * 7 + 7))
}

function weekdays(language: 'ko' | 'en'): [string, string][] {
  // The 7th of January 2024 is a Sunday.
  return Array.from({ length: 7 }, (_, at) => {
    const day = new Date(2024, 0, 7 + at)
    return [weekdayName(day, language, language === 'ko' ? 'short' : 'narrow'), weekdayName(day, language, 'long')]
  })
}

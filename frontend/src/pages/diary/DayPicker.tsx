import { CalendarDays } from 'lucide-react'

import { today } from '../../app/dates'
import { useWords } from '../../app/settings'
import css from './DayPicker.module.css'
import { diaryWords } from './words'

/** Another day to write about: the browser's own field, under an icon. The day itself stands in the heading. */
export function DayPicker({ day, onDay }: { day: string; onDay: (day: string) => void }) {
  const w = useWords(diaryWords)
  return (
    <span className={css.picker} title={w.date}>
      <CalendarDays size={20} aria-hidden />
      <input
        type="date"
        aria-label={w.date}
        value={day}
        max={today()}
        required
        onChange={(event) => {
          if (event.target.value !== '') onDay(event.target.value)
        }}
      />
    </span>
  )
}

import { useState } from 'react'
import { useSearchParams } from 'wouter'

import { longDay, today } from '../../app/dates'
import { useFollow } from '../../app/useFollow'
import { useSettings } from '../../app/settings'
import { Head } from '../../ui/Head'
import { Calendar } from './Calendar'
import { DayPicker } from './DayPicker'
import { DayView } from './DayView'
import css from './Diary.module.css'
import { PastDays } from './PastDays'
import { Write } from './Write'

/** The diary: what one writes today and what is answered, the months, and the days gone by. `?d=` is a day to look at. */
export default function Diary() {
  const { language } = useSettings()
  const [params, setParams] = useSearchParams()
  const [date, setDate] = useState(today)
  // Counts what was saved and deleted: the calendar and the list look again.
  const [changes, setChanges] = useState(0)
  const { scroller, content, end, follow } = useFollow(false)
  const shown = params.get('d')
  const changed = () => setChanges((count) => count + 1)
  const show = (day: string | null) => {
    setParams(day === null ? {} : { d: day })
    scroller.current?.scrollTo({ top: 0 })
  }

  return (
    <div className={css.diary} ref={scroller}>
      <div className={css.columns}>
        <div ref={content}>
          {/* What is under way goes on while one looks at another day. */}
          <div hidden={shown !== null}>
            <Head title={longDay(date, language)}>
              <DayPicker day={date} onDay={setDate} />
            </Head>
            <Write date={date} onSaved={changed} onSent={follow} end={end} />
          </div>
          {shown !== null && (
            <DayView
              key={shown}
              day={shown}
              changes={changes}
              onRemoved={changed}
              onBack={() => show(null)}
              onWrite={() => {
                setDate(shown)
                show(null)
              }}
            />
          )}
        </div>
        <div className={css.side}>
          <Calendar selected={shown ?? date} changes={changes} onDay={show} />
          <PastDays changes={changes} selected={shown} onDay={show} />
        </div>
      </div>
    </div>
  )
}

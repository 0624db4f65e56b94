import type { Language } from './settings'

const LOCALES: Record<Language, string> = { ko: 'ko-KR', en: 'en-GB' }

/** YYYY-MM-DD, of the day where the reader is. */
export function today(): string {
  return dayOf(new Date())
}

export function dayOf(date: Date): string {
  const two = (number: number) => String(number).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
}

/** Noon of that day: no clock change moves it to another. Invalid for what is no day. */
export function dateOf(day: string): Date {
  return new Date(`${day}T12:00:00`)
}

/** 11월 22일 일요일 · Sunday, 22 November; with the year when it is another one than now. */
export function longDay(day: string, language: Language): string {
  const date = dateOf(day)
  if (Number.isNaN(date.getTime())) return day
  const year = date.getFullYear() === new Date().getFullYear() ? {} : ({ year: 'numeric' } as const)
  return told(date, language, { ...year, month: 'long', day: 'numeric', weekday: 'long' })
}

export function monthName(year: number, month: number, language: Language): string {
  return told(new Date(year, month - 1, 15), language, { year: 'numeric', month: 'long' })
}

export function weekdayName(date: Date, language: Language, weekday: 'long' | 'short' | 'narrow'): string {
  return told(date, language, { weekday })
}

/** 11월 22일 오전 6:30 · 22 November at 06:30; today without the day. */
export function moment(iso: string, language: Language): string {
  const date = new Date(iso)
  if (Number.isNaN(date.getTime())) return ''
  const time = { hour: 'numeric', minute: '2-digit' } as const
  const far = dayOf(date) === today() ? {} : ({ month: 'long', day: 'numeric' } as const)
  return told(date, language, { ...far, ...time })
}

/** Making one takes longer than a hundred uses of it, and a month has many days. */
const formats = new Map<string, Intl.DateTimeFormat>()

function told(date: Date, language: Language, options: Intl.DateTimeFormatOptions): string {
  const key = language + JSON.stringify(options)
  let format = formats.get(key)
  if (!format) formats.set(key, (format = new Intl.DateTimeFormat(LOCALES[language], options)))
  return format.format(date)
}

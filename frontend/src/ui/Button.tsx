import type { ComponentProps, ReactNode } from 'react'

import css from './Button.module.css'

type Look = 'main' | 'plain' | 'quiet' | 'bad'

export function Button({ look = 'plain', className, ...rest }: ComponentProps<'button'> & { look?: Look }) {
  return <button type="button" className={joined(css.button, css[look], className)} {...rest} />
}

export function LinkButton({ look = 'plain', className, ...rest }: ComponentProps<'a'> & { look?: Look }) {
  return <a className={joined(css.button, css[look], className)} {...rest} />
}

/** A button that shows an icon alone; `label` is its name. */
export function IconButton({
  label,
  look = 'quiet',
  className,
  children,
  ...rest
}: ComponentProps<'button'> & { label: string; look?: Look; children: ReactNode }) {
  return (
    <button
      type="button"
      aria-label={label}
      title={label}
      className={joined(css.button, css[look], css.icon, className)}
      {...rest}
    >
      {children}
    </button>
  )
}

/** Class names, without those that are not there. */
export function joined(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(' ')
}

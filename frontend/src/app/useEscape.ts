import { useEffect, useRef } from 'react'

/** Calls back when Escape is pressed and nothing else has a use for it. */
export function useEscape(active: boolean, escaped: () => void): void {
  const latest = useRef(escaped)
  useEffect(() => {
    latest.current = escaped
  })
  useEffect(() => {
    if (!active) return
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || event.isComposing || event.defaultPrevented) return
      if (document.querySelector('dialog[open]')) return
      latest.current()
    }
    document.addEventListener('keydown', pressed)
    return () => document.removeEventListener('keydown', pressed)
  }, [active])
}

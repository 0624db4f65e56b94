import { createContext, use, useCallback, useRef, useState, type ReactNode } from 'react'

const Context = createContext<(text: string) => void>(() => undefined)

/** The one live region: it tells a screen reader that an answer begins and ends, and reads none of its tokens. */
export function Announcer({ children }: { children: ReactNode }) {
  const [said, setSaid] = useState('')
  const even = useRef(false)
  const say = useCallback((text: string) => {
    // The same words twice would be no change, and not be read.
    even.current = !even.current
    setSaid(even.current ? text : `${text}\u00a0`)
  }, [])
  return (
    <Context value={say}>
      {children}
      <div className="visually-hidden" role="status" aria-live="polite">
        {said}
      </div>
    </Context>
  )
}

export function useAnnounce(): (text: string) => void {
  return use(Context)
}

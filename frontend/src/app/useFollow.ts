import { useCallback, useEffect, useRef, useState } from 'react'

/** How near to its end a reader counts as being there, in pixels. */
const NEAR = 24
/** Milliseconds in which a new question takes its place. */
const SETTLING = 800

interface Follow {
  /** For the element that scrolls. */
  scroller: React.RefObject<HTMLDivElement | null>
  /** For the element that grows. */
  content: React.RefObject<HTMLDivElement | null>
  /** For an empty element at the end of what is written. */
  end: React.RefObject<HTMLDivElement | null>
  /** Whether the end is kept in sight; not after the reader has scrolled up. */
  following: boolean
  follow: () => void
}

/** Keeps the end of a growing text in sight, until the reader scrolls up, and again when the reader is back at the end. */
export function useFollow(initially: boolean): Follow {
  const scroller = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const end = useRef<HTMLDivElement>(null)
  const on = useRef(initially)
  /** Until then what is drawn anew moves the text, not the reader. */
  const settled = useRef(0)
  const [following, setFollowing] = useState(initially)

  const set = useCallback((value: boolean) => {
    on.current = value
    setFollowing(value)
  }, [])

  const show = useCallback(() => {
    const hidden = below(scroller.current, end.current)
    if (hidden > 0) scroller.current?.scrollBy({ top: hidden })
  }, [])

  useEffect(() => {
    const [box, grows] = [scroller.current, content.current]
    if (!box || !grows) return
    let top = box.scrollTop
    let room = box.scrollHeight - box.clientHeight
    let moved = false
    const scrolled = () => {
      const up = box.scrollTop < top - 1 && !moved && performance.now() > settled.current
      top = box.scrollTop
      moved = false
      if (up && below(box, end.current) > 0) set(false)
      else if (!up && below(box, end.current) < NEAR) set(true)
    }
    // An observer runs between layout and paint: nothing has to be laid out twice.
    const observer = new ResizeObserver(() => {
      const left = box.scrollHeight - box.clientHeight
      // With less to scroll the browser moves up, without anybody having scrolled.
      if (left < room) moved = true
      room = left
      if (on.current) show()
    })
    observer.observe(grows)
    observer.observe(box)
    box.addEventListener('scroll', scrolled, { passive: true })
    return () => {
      observer.disconnect()
      box.removeEventListener('scroll', scrolled)
    }
  }, [set, show])

  const follow = useCallback(() => {
    settled.current = performance.now() + SETTLING
    set(true)
    show()
  }, [set, show])

  return { scroller, content, end, following, follow }
}

/** Pixels by which the end is below what is seen. */
function below(box: HTMLElement | null, end: HTMLElement | null): number {
  if (!box || !end) return 0
  return end.getBoundingClientRect().bottom - box.getBoundingClientRect().bottom
}

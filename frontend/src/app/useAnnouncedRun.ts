import { useEffect, useRef } from 'react'

import type { RunStatus } from '../sora'
import { useAnnounce } from './announce'
import { useWords } from './settings'
import { words } from './words'

/** Tells a screen reader where an answer is: begun, at its end, in trouble. */
export function useAnnouncedRun(status: RunStatus): void {
  const w = useWords(words)
  const announce = useAnnounce()
  const before = useRef<RunStatus>('idle')

  useEffect(() => {
    const last = before.current
    before.current = status
    if (last === status) return
    // Back from a break it goes on; it does not begin again.
    const resumed = last === 'reconnecting' || last === 'offline' || last === 'saving'
    if (status === 'streaming' && !resumed) announce(w.began)
    if (status === 'completed' && last !== 'idle') announce(w.ended)
    if (status === 'cancelled' && last !== 'idle') announce(w.stopped)
    if (status === 'failed' || status === 'interrupted') announce(w.broke)
    if (status === 'reconnecting') announce(w.reconnecting)
  }, [status, announce, w])
}

import { useCallback, useSyncExternalStore } from 'react'

/** Whole seconds until a moment (ms, as Date.now() has it); 0 when it has come, or there is none. */
export function useCountdown(at: number | null): number {
  const subscribe = useCallback(
    (tick: () => void) => {
      if (at === null) return () => undefined
      const timer = setInterval(tick, 250)
      return () => clearInterval(timer)
    },
    [at],
  )
  return useSyncExternalStore(subscribe, () => (at === null ? 0 : Math.max(0, Math.ceil((at - Date.now()) / 1000))))
}

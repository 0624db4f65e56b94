import { useCallback, useInsertionEffect, useRef } from 'react'

/** The same function for good, which does what the last one given does; not to be called while rendering. */
export function useStable<A extends unknown[], R>(latest: (...args: A) => R): (...args: A) => R {
  const current = useRef(latest)
  useInsertionEffect(() => {
    current.current = latest
  })
  return useCallback((...args: A) => current.current(...args), [])
}

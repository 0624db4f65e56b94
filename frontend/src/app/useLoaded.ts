import { useCallback, useEffect, useReducer, useRef, useState } from 'react'

interface Loaded<T> {
  data: T | null
  error: unknown
}

/**
 * What `load` gives for a key; asked again by `reload`, when the network is back and when the page is shown again. Until the
 * next answer is there the last one for the same key stays. Nothing is asked while the key is null.
 */
export function useLoaded<T>(
  key: string | null,
  load: () => Promise<T>,
): Loaded<T> & { reload: () => void; set: (change: (data: T) => T) => void } {
  const [state, setState] = useState<Loaded<T> & { key: string | null }>({ key: null, data: null, error: null })
  const [version, reload] = useReducer((count: number) => count + 1, 0)
  const latest = useRef(load)
  useEffect(() => {
    latest.current = load
  })

  useEffect(() => {
    if (key === null) return
    let wanted = true
    latest.current().then(
      (data) => {
        if (wanted) setState({ key, data, error: null })
      },
      (error: unknown) => {
        if (wanted) setState((before) => ({ key, data: before.key === key ? before.data : null, error }))
      },
    )
    return () => {
      wanted = false
    }
  }, [key, version])

  useEffect(() => {
    const shown = () => {
      if (document.visibilityState === 'visible') reload()
    }
    addEventListener('online', reload)
    document.addEventListener('visibilitychange', shown)
    return () => {
      removeEventListener('online', reload)
      document.removeEventListener('visibilitychange', shown)
    }
  }, [])

  const set = useCallback((change: (data: T) => T) => {
    setState((before) => (before.data === null ? before : { ...before, data: change(before.data) }))
  }, [])

  const own = state.key === key
  return { data: own ? state.data : null, error: own ? state.error : null, reload, set }
}

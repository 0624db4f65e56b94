export type Signal = 'online' | 'offline' | 'visible' | 'restored'

/** False when the browser is sure that there is no network. */
export function isOnline(): boolean {
  // Node has a navigator, but no such field.
  return typeof navigator === 'undefined' || (navigator as { onLine?: boolean }).onLine !== false
}

/** What the browser tells of the network and the page; `restored`: from the back/forward cache. Returns what stops it. */
export function onSignal(listener: (signal: Signal) => void): () => void {
  if (typeof window === 'undefined') return () => undefined
  const listening = new AbortController()
  const { signal } = listening
  window.addEventListener('online', () => listener('online'), { signal })
  window.addEventListener('offline', () => listener('offline'), { signal })
  window.addEventListener('pageshow', (event) => event.persisted && listener('restored'), { signal })
  document.addEventListener(
    'visibilitychange',
    () => document.visibilityState === 'visible' && listener('visible'),
    { signal },
  )
  return () => listening.abort()
}

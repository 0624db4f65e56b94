/** How many of the six connections that a browser has to a host over HTTP/1.1, for all its tabs, may be streams. */
const LANES = 4

/**
 * A place among the streams of all tabs, once there is one; call what it resolves with to give it back. So pages load and buttons work
 * however many tabs there are. Over HTTP/2, and where there are no locks to count with, nobody waits. Rejects when the signal says so.
 */
export async function takeLane(signal: AbortSignal): Promise<() => void> {
  if (!limited()) return () => undefined
  const others = new AbortController()
  const names = Array.from({ length: LANES }, (_, index) => `sora-stream-${index}`)
  return await Promise.any(
    names.map((name) => take(name, AbortSignal.any([signal, others.signal]), () => others.abort())),
  ).catch(() => {
    signal.throwIfAborted()
    return () => undefined // no locks here after all
  })
}

/** Resolves with what gives the lock back; `taken` is called at that moment. */
function take(name: string, signal: AbortSignal, taken: () => void): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const held = () => {
      if (signal.aborted) return // two came free at once
      taken()
      return new Promise<void>((release) => resolve(release))
    }
    navigator.locks.request(name, { signal }, held).then(reject, reject)
  })
}

function limited(): boolean {
  if (typeof window === 'undefined' || !('locks' in navigator)) return false
  const [page] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
  return page?.nextHopProtocol === 'http/1.1'
}

import { useState } from 'react'

/** What there was before, until there is something new. */
export function useLast<T>(data: T | null): T | null {
  const [last, setLast] = useState(data)
  if (data !== null && data !== last) setLast(data)
  return data ?? last
}

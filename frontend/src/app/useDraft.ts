import { useCallback, useState } from 'react'

import { local } from './storage'

/** A text that somebody writes, kept until it was sent. */
export function useDraft(name: string): [string, (text: string) => void] {
  const key = `draft:${name}`
  const [text, setText] = useState(() => local.get(key) ?? '')
  const write = useCallback(
    (next: string) => {
      local.set(key, next === '' ? null : next)
      setText(next)
    },
    [key],
  )
  return [text, write]
}

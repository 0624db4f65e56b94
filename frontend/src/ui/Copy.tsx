import { Check, Copy as CopyIcon } from 'lucide-react'
import { useEffect, useState } from 'react'

import { useWords } from '../app/settings'
import { words } from '../app/words'
import { IconButton } from './Button'
import { useToast } from './Toasts'

/** Copies a text; shows for a moment that it did. */
export function Copy({ text, label }: { text: string; label: string }) {
  const w = useWords(words)
  const toast = useToast()
  const [done, setDone] = useState(false)

  useEffect(() => {
    if (!done) return
    const timer = setTimeout(() => setDone(false), 1800)
    return () => clearTimeout(timer)
  }, [done])

  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      setDone(true)
      toast(w.copied)
    } catch {
      toast(w.notCopied)
    }
  }
  return (
    <IconButton label={label} onClick={() => void copy()}>
      {done ? <Check size={16} aria-hidden /> : <CopyIcon size={16} aria-hidden />}
    </IconButton>
  )
}

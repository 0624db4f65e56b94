import { useState } from 'react'

import { useEscape } from '../../app/useEscape'
import { useWords } from '../../app/settings'
import { words } from '../../app/words'
import { Button } from '../../ui/Button'
import { Composer } from '../../ui/Composer'
import { threadWords } from './words'

interface Props {
  text: string
  busy: boolean
  onAsk: (text: string) => void
  onClose: () => void
}

/** A question in its place, to be put otherwise: what is sent is asked next, for what was said stays said. Escape gives up. */
export function Edit({ text, busy, onAsk, onClose }: Props) {
  const w = useWords(threadWords)
  const common = useWords(words)
  const [draft, setDraft] = useState(text)
  useEscape(true, onClose)
  return (
    <Composer
      label={w.edit}
      hint={w.editHint}
      placeholder={text}
      value={draft}
      onChange={setDraft}
      onSend={() => {
        onClose()
        onAsk(draft.trim())
      }}
      onStop={onClose}
      busy={busy}
      canSend={draft.trim() !== ''}
    >
      <Button look="quiet" onClick={onClose}>
        {common.cancel}
      </Button>
    </Composer>
  )
}

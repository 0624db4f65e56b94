import { ChartColumn } from 'lucide-react'
import { useState } from 'react'

import { useWords } from '../../app/settings'
import { Waiting } from '../../app/RunNote'
import { words } from '../../app/words'
import { isActive, useRun, type Source } from '../../sora'
import { Button } from '../../ui/Button'
import { Sources } from '../thread/Sources'
import { Result } from './Result'
import { agentWords } from './words'

/** The result of an earlier answer: the conversation keeps its text, the run the rest. */
export function KeptResult({ runId, sources }: { runId: string; sources: readonly Source[] }) {
  const w = useWords(agentWords)
  const common = useWords(words)
  const run = useRun()
  const [open, setOpen] = useState(false)
  if (!open) {
    return (
      <div>
        <Button
          onClick={() => {
            setOpen(true)
            run.attach(runId)
          }}
        >
          <ChartColumn size={16} aria-hidden />
          {w.details}
        </Button>
      </div>
    )
  }
  if (isActive(run)) return <Waiting>{common.loading}</Waiting>
  return run.result ? <Result result={run.result} sources={sources} /> : <Sources sources={sources} />
}

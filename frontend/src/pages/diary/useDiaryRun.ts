import { useEffect, useState } from 'react'

import { local, tab } from '../../app/storage'
import { useAnnouncedRun } from '../../app/useAnnouncedRun'
import { useDraft } from '../../app/useDraft'
import { useEscape } from '../../app/useEscape'
import { useSession } from '../../app/session'
import { useStable } from '../../app/useStable'
import { isActive, useRun, useSora, type RunHandle } from '../../sora'

export type Type = 'FEELING' | 'THINKING'

interface Entry {
  body: string
  type: Type
  reviewDate: string
}

export interface DiaryRun {
  run: RunHandle
  draft: string
  setDraft: (text: string) => void
  type: Type
  setType: (type: Type) => void
  /** The entry that is, or was, answered. */
  sent: Entry | null
  send: () => Promise<void>
  again: () => void
  fresh: () => void
}

/** The review that is written, found again after a reload and from another tab. */
export function useDiaryRun(date: string, onSaved: () => void): DiaryRun {
  const client = useSora()
  const { noticed } = useSession()
  const [draft, setDraft] = useDraft('diary')
  const [type, setType] = useState<Type>(() => (local.get('type') === 'THINKING' ? 'THINKING' : 'FEELING'))
  const [sent, setSent] = useState(keptEntry)
  const saved = useStable(() => {
    // What was typed meanwhile is not what was saved.
    if (draft.trim() === sent?.body) setDraft('')
    onSaved()
  })
  const run = useRun({ onComplete: saved })
  const { attach, runId } = run
  const busy = isActive(run)

  useAnnouncedRun(run.status)
  useEscape(busy, () => void run.stop())
  useEffect(() => noticed(run.error), [noticed, run.error])

  useEffect(() => {
    const kept = tab.get('diary:run')
    if (kept !== null) {
      attach(kept)
      return
    }
    let wanted = true
    underWay(client).then((found) => {
      if (wanted && found !== null) attach(found)
    }, noticed)
    return () => {
      wanted = false
    }
  }, [client, attach, noticed])

  useEffect(() => {
    if (runId !== null) tab.set('diary:run', runId)
  }, [runId])

  const start = async (entry: Entry) => {
    local.set('entry', JSON.stringify(entry))
    setSent(entry)
    await run.start('review', entry)
  }

  return {
    run,
    draft,
    setDraft,
    type,
    setType: (chosen) => {
      local.set('type', chosen)
      setType(chosen)
    },
    sent,
    send: () => start({ body: draft.trim(), type, reviewDate: date }),
    again: () => void run.retry(),
    fresh: () => {
      tab.set('diary:run', null)
      run.reset()
    },
  }
}

/** The last entry that was sent from this browser. */
function keptEntry(): Entry | null {
  try {
    return JSON.parse(local.get('entry') ?? 'null') as Entry | null
  } catch {
    return null
  }
}

/** A review of one's own that is written right now: another tab has asked for it. */
async function underWay(client: ReturnType<typeof useSora>): Promise<string | null> {
  const { items } = await client.runs.list({ status: 'running' })
  return items.find((run) => run.kind === 'review')?.id ?? null
}

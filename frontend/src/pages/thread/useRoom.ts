import { startTransition, useEffect, useMemo, useState } from 'react'

import { useAnnouncedRun } from '../../app/useAnnouncedRun'
import { useLoaded } from '../../app/useLoaded'
import { useSession } from '../../app/session'
import { isActive, SoraError, useSora, type Conversation, type ConversationMessage, type RunHandle } from '../../sora'
import { turnsOf, type Asked, type Turn } from './turns'

interface Loaded {
  conversation: Conversation | null
  messages: ConversationMessage[]
  before: string | null
}

export interface Room {
  turns: readonly Turn[]
  loading: boolean
  error: unknown
  busy: boolean
  earlier: (() => void) | null
  /** Shows a question, and has it asked by `start`. */
  ask: (question: string, files: readonly string[], start: () => Promise<string | null>) => void
  again: (turn: Turn) => void
  reload: () => void
}

/**
 * One conversation: what was said, and the run that is under way in it, whoever started it.
 * `exists`: whether the server may know it.
 */
export function useRoom(name: string, exists: boolean, run: RunHandle | Omit<RunHandle, 'start'>): Room {
  const client = useSora()
  const { noticed } = useSession()
  const [asked, setAsked] = useState<Asked | null>(null)
  const [older, setOlder] = useState<{ messages: ConversationMessage[]; before: string | null } | null>(null)
  const loaded = useLoaded<Loaded>(exists ? name : null, () => load(client, name))
  const busy = isActive(run)
  const { attach, runId } = run
  const { reload, data, error } = loaded

  useAnnouncedRun(run.status)
  useEffect(() => noticed(error ?? run.error), [noticed, error, run.error])

  const underWay = data?.conversation?.runId ?? null
  useEffect(() => {
    if (underWay !== null && underWay !== runId && !busy) attach(underWay)
  }, [underWay, runId, busy, attach])

  const ended = runId !== null && !busy
  useEffect(() => {
    if (ended) reload()
  }, [ended, reload])

  const messages = useMemo(() => [...(older?.messages ?? []), ...(data?.messages ?? [])], [older, data])
  const turns = useMemo(() => turnsOf(messages, asked, runId), [messages, asked, runId])

  const before = older ? older.before : (data?.before ?? null)
  const earlier = () => {
    client.conversations.messages(name, { limit: PAGE, before: before ?? '' }).then(
      (page) =>
        startTransition(() =>
          setOlder((now) => ({ messages: [...page.items, ...(now?.messages ?? [])], before: page.nextCursor })),
        ),
      noticed,
    )
  }

  return {
    turns,
    loading: exists && data === null && error === null,
    error,
    busy,
    earlier: before === null ? null : earlier,
    reload,
    ask(question, files, start) {
      setAsked({ text: question, files, at: new Date().toISOString(), insteadOf: null })
      void start()
    },
    again(turn) {
      if (turn.live || turn.runId === null) {
        setAsked({ ...turn.question, insteadOf: turn.runId })
        void run.retry()
        return
      }
      client.runs.retry(turn.runId).then(({ id }) => {
        setAsked({ ...turn.question, insteadOf: turn.runId })
        attach(id)
      }, noticed)
    },
  }
}

const PAGE = 40

async function load(client: ReturnType<typeof useSora>, name: string): Promise<Loaded> {
  try {
    const [conversation, page] = await Promise.all([
      client.conversations.show(name),
      client.conversations.messages(name, { limit: PAGE }),
    ])
    return { conversation, messages: page.items, before: page.nextCursor }
  } catch (error) {
    if (error instanceof SoraError && error.code === 'not_found') return { conversation: null, messages: [], before: null }
    throw error
  }
}

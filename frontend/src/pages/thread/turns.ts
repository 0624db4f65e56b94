import type { ConversationMessage, RunState, Source } from '../../sora'

export interface Question {
  text: string
  files: readonly string[]
  at: string
}

/** An answer as it is kept. What is still written is a RunState. */
export interface Kept {
  text: string
  status: string
  at: string
  sources: readonly Source[]
  metadata: RunState['metadata']
}

export interface Turn {
  /** The same from the first word to the kept answer, so that what is drawn stays. */
  key: string
  runId: string | null
  question: Question
  kept: Kept | null
  /** Whether its answer is the run's that the page follows. */
  live: boolean
}

/** What this page has asked and the server may not list yet. */
export interface Asked extends Question {
  /** The run whose question is asked again. */
  insteadOf: string | null
}

/** The messages by turns, with the run that the page follows in its place. */
export function turnsOf(messages: readonly ConversationMessage[], asked: Asked | null, runId: string | null): Turn[] {
  const turns: Turn[] = []
  for (const message of messages) {
    if (message.role === 'user') {
      turns.push({
        key: message.runId ?? message.id,
        runId: message.runId,
        question: { text: message.content, files: listOf(message.files) as string[], at: message.createdAt },
        kept: null,
        live: runId !== null && message.runId === runId,
      })
    } else {
      const turn = turns.at(-1)
      // An answer of another run is the one that is just written again.
      if (turn?.runId === message.runId) turn.kept = keptOf(message)
    }
  }
  if (!asked || turns.some((turn) => turn.live)) return turns
  const { insteadOf, ...question } = asked
  const live: Turn = { key: runId ?? 'asked', runId, question, kept: null, live: true }
  return [...turns.filter((turn) => insteadOf === null || turn.runId !== insteadOf), live]
}

function keptOf(message: ConversationMessage): Kept {
  return {
    text: message.content,
    status: message.status,
    at: message.createdAt,
    sources: listOf(message.references) as Source[],
    metadata: (message.metadata as RunState['metadata'] | undefined) ?? null,
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

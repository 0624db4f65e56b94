import { useWords } from '../../app/settings'
import type { RunHandle } from '../../sora'
import { Talk } from '../thread/Talk'
import type { Extras } from '../thread/TurnView'
import { KeptResult } from './KeptResult'
import { Result } from './Result'
import { Steps } from './Steps'
import { agentWords } from './words'

const EXTRAS: Extras = {
  above: (run) => run && <Steps progress={run.progress} />,
  below: ({ run, sources }, turn) => {
    if (run) return <Result result={run.result} sources={sources} />
    return turn.runId !== null && turn.kept?.status === 'completed' && <KeptResult runId={turn.runId} sources={sources} />
  },
}

/** The agent: its steps as they happen, its answer, and what that rests on. */
export default function Agent() {
  const w = useWords(agentWords)
  return <Talk page="agent" start={start} extras={EXTRAS} words={w} />
}

function start(run: RunHandle, name: string, text: string): Promise<string | null> {
  return run.start('agent', { message: text, conversation_id: name })
}

import type { RunState } from '../sora'
import css from './Developer.module.css'
import { useSettings } from './settings'

/** How an answer came about, for who has asked to see it. */
export function Developer({ run }: { run: RunState }) {
  const { developer } = useSettings()
  if (!developer) return null
  const { firstTokenMs, tokensPerSecond } = run.timing
  const facts: [string, string | null][] = [
    ['status', run.status],
    ['first token', firstTokenMs === null ? null : `${Math.round(firstTokenMs)} ms`],
    ['tokens/s', tokensPerSecond === null ? null : tokensPerSecond.toFixed(1)],
    ['characters', String(run.text.length)],
    ['tokens', run.usage ? `${run.usage.input_tokens} + ${run.usage.output_tokens}` : null],
    ['tries', run.attempt > 0 ? String(run.attempt) : null],
    ['run', run.runId],
  ]
  return (
    <dl className={css.panel}>
      {facts.map(
        ([name, value]) =>
          value !== null && (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ),
      )}
    </dl>
  )
}

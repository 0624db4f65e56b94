import { Check, X } from 'lucide-react'

import { useWords } from '../../app/settings'
import type { Progress } from '../../sora'
import css from './Steps.module.css'
import { agentWords } from './words'

/** The stages of the work, each as it stands. */
export function Steps({ progress }: { progress: readonly Progress[] }) {
  const w = useWords(agentWords)
  if (progress.length === 0) return null
  return (
    <ol className={css.steps} aria-label={w.steps}>
      {progress.map((step) => (
        <li key={step.stage} className={css.step} data-status={step.status}>
          <span className={css.sign}>
            {step.status === 'completed' && <Check size={12} strokeWidth={3} aria-hidden />}
            {step.status === 'failed' && <X size={12} strokeWidth={3} aria-hidden />}
          </span>
          {step.message}
          <span className="visually-hidden"> ({w[step.status]})</span>
        </li>
      ))}
    </ol>
  )
}

import { RadioGroup } from 'radix-ui'

import { useWords } from '../../app/settings'
import css from './Persona.module.css'
import type { Type } from './useDiaryRun'
import { diaryWords } from './words'

/** Who answers: F feels with one, T is frank. */
export function Persona(props: { value: Type; onChange: (value: Type) => void; disabled: boolean }) {
  const w = useWords(diaryWords)
  return (
    <RadioGroup.Root
      className={css.choice}
      aria-label={w.way}
      value={props.value}
      disabled={props.disabled}
      onValueChange={(value) => props.onChange(value === 'THINKING' ? 'THINKING' : 'FEELING')}
    >
      <RadioGroup.Item value="FEELING" className={css.one} title={w.feelingLong}>
        <b>F</b> {w.FEELING}
      </RadioGroup.Item>
      <RadioGroup.Item value="THINKING" className={css.one} title={w.thinkingLong}>
        <b>T</b> {w.THINKING}
      </RadioGroup.Item>
    </RadioGroup.Root>
  )
}

import { Check } from 'lucide-react'
import { DropdownMenu } from 'radix-ui'
import { use, type ReactNode } from 'react'

import { joined } from './Button'
import { Layer } from './layer'
import css from './Menu.module.css'

/** A menu that opens from `trigger`, a button. */
export function Menu({ trigger, side, children }: { trigger: ReactNode; side?: 'top' | 'bottom'; children: ReactNode }) {
  return (
    // Not modal: a modal one would write a style element, which the page's policy does not let in.
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal container={use(Layer)}>
        <DropdownMenu.Content
          className={css.content}
          side={side ?? 'bottom'}
          align="end"
          sideOffset={6}
          collisionPadding={8}
        >
          {children}
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  )
}

export function MenuItem({ bad, onSelect, children }: { bad?: boolean; onSelect: () => void; children: ReactNode }) {
  return (
    <DropdownMenu.Item className={joined(css.item, bad && css.bad)} onSelect={onSelect}>
      {children}
    </DropdownMenu.Item>
  )
}

/** One of several that exclude each other. */
export function MenuChoice<T extends string>({
  label,
  value,
  options,
  onChange,
}: {
  label: string
  value: T
  options: readonly (readonly [T, string])[]
  onChange: (value: T) => void
}) {
  return (
    <DropdownMenu.RadioGroup
      aria-label={label}
      value={value}
      onValueChange={(chosen) => {
        const option = options.find(([one]) => one === chosen)
        if (option) onChange(option[0])
      }}
    >
      <DropdownMenu.Label className={css.label}>{label}</DropdownMenu.Label>
      {options.map(([one, words]) => (
        <DropdownMenu.RadioItem key={one} value={one} className={css.item} onSelect={stay}>
          {words}
          <DropdownMenu.ItemIndicator className={css.check}>
            <Check size={16} aria-hidden />
          </DropdownMenu.ItemIndicator>
        </DropdownMenu.RadioItem>
      ))}
    </DropdownMenu.RadioGroup>
  )
}

export function MenuSwitch({ on, onChange, children }: { on: boolean; onChange: (on: boolean) => void; children: ReactNode }) {
  return (
    <DropdownMenu.CheckboxItem className={css.item} checked={on} onCheckedChange={onChange} onSelect={stay}>
      {children}
      <DropdownMenu.ItemIndicator className={css.check}>
        <Check size={16} aria-hidden />
      </DropdownMenu.ItemIndicator>
    </DropdownMenu.CheckboxItem>
  )
}

export function MenuLine() {
  return <DropdownMenu.Separator className={css.line} />
}

/** What is chosen is seen at once; the menu stays for the next choice. */
function stay(event: Event): void {
  event.preventDefault()
}

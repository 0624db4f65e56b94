import type { ReactNode } from 'react'

import { Menu, MenuChoice, MenuItem, MenuLine, MenuSwitch } from '../ui/Menu'
import { useSession } from './session'
import { useSettings, useWords } from './settings'
import { words } from './words'

export function SettingsMenu({ trigger }: { trigger: ReactNode }) {
  const w = useWords(words)
  const { language, theme, developer, change } = useSettings()
  const { session, signOut } = useSession()
  return (
    <Menu trigger={trigger} side="top">
      <MenuChoice
        label={w.language}
        value={language}
        options={[
          ['ko', '한국어'],
          ['en', 'English'],
        ]}
        onChange={(chosen) => change({ language: chosen })}
      />
      <MenuLine />
      <MenuChoice
        label={w.theme}
        value={theme}
        options={[
          ['system', w.system],
          ['light', w.light],
          ['dark', w.dark],
        ]}
        onChange={(chosen) => change({ theme: chosen })}
      />
      <MenuLine />
      <MenuSwitch on={developer} onChange={(on) => change({ developer: on })}>
        {w.developer}
      </MenuSwitch>
      {session && session.role !== 'guest' && session.id !== 'guest' && (
        <>
          <MenuLine />
          <MenuItem onSelect={() => void signOut()}>{w.signOut}</MenuItem>
        </>
      )}
    </Menu>
  )
}

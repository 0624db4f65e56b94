import { createContext, use, useLayoutEffect, useMemo, useState, type ReactNode } from 'react'

import { local } from './storage'

export type Language = 'ko' | 'en'
export type Theme = 'system' | 'light' | 'dark'

interface Settings {
  language: Language
  theme: Theme
  /** Whether answers show how they came about: time to first token, tokens per second, the run's id. */
  developer: boolean
}

interface Change {
  change: (some: Partial<Settings>) => void
}

const Context = createContext<(Settings & Change) | null>(null)

function kept(): Settings {
  const language = local.get('language')
  const theme = local.get('theme')
  return {
    language: language === 'ko' || language === 'en' ? language : navigator.language.startsWith('ko') ? 'ko' : 'en',
    theme: theme === 'light' || theme === 'dark' ? theme : 'system',
    developer: local.get('developer') === '1',
  }
}

export function SettingsProvider({ children }: { children: ReactNode }) {
  const [settings, setSettings] = useState(kept)
  const { language, theme, developer } = settings

  // Before anything is painted.
  useLayoutEffect(() => {
    document.documentElement.lang = language
    if (theme === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
  }, [language, theme])

  const value = useMemo(
    () => ({
      language,
      theme,
      developer,
      change(some: Partial<Settings>) {
        if (some.language) local.set('language', some.language)
        if (some.theme) local.set('theme', some.theme)
        if (some.developer !== undefined) local.set('developer', some.developer ? '1' : null)
        setSettings((before) => ({ ...before, ...some }))
      },
    }),
    [language, theme, developer],
  )
  return <Context value={value}>{children}</Context>
}

export function useSettings(): Settings & Change {
  const settings = use(Context)
  if (!settings) throw new Error('useSettings needs a SettingsProvider')
  return settings
}

/** Words in the reader's language. */
export function useWords<T>(words: Record<Language, T>): T {
  return words[useSettings().language]
}

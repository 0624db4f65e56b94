import { BookOpen, FileQuestion, MessageCircle, Settings2, Workflow } from 'lucide-react'
import type { ReactNode } from 'react'
import { Link, useLocation } from 'wouter'

import { Mark } from '../ui/Mark'
import { useOnline } from './online'
import { SettingsMenu } from './SettingsMenu'
import { useWords } from './settings'
import css from './Shell.module.css'
import { words } from './words'

const PAGES = [
  ['diary', BookOpen],
  ['chat', MessageCircle],
  ['ask', FileQuestion],
  ['agent', Workflow],
] as const

/** What every page has around it: the way to the others, the settings, and whether there is a network. */
export function Shell({ children }: { children: ReactNode }) {
  const w = useWords(words)
  const [path] = useLocation()
  const online = useOnline()
  return (
    <div className={css.shell}>
      <a className={css.skip} href="#content">
        {w.skip}
      </a>
      <header className={css.side}>
        <div className={css.top}>
          <Link href="/diary" className={css.brand}>
            <Mark />
            {w.name}
          </Link>
          <SettingsMenu
            trigger={
              <button type="button" className={css.settings}>
                <Settings2 size={20} aria-hidden />
                <span>{w.settings}</span>
              </button>
            }
          />
        </div>
        <nav className={css.nav} aria-label={w.pages}>
          {PAGES.map(([name, Icon]) => (
            <Link
              key={name}
              href={`/${name}`}
              className={css.link}
              aria-current={path === `/${name}` ? 'page' : undefined}
            >
              <Icon size={20} strokeWidth={1.75} aria-hidden />
              {w[name]}
            </Link>
          ))}
        </nav>
      </header>
      <main id="content" className={css.main} tabIndex={-1}>
        {!online && (
          <p className={css.offline} role="status">
            {w.offline}
          </p>
        )}
        <div className={css.page}>{children}</div>
      </main>
    </div>
  )
}

import { FileText, Globe, Library } from 'lucide-react'
import { createContext, use } from 'react'
import { Link } from 'wouter'

import { documentPage, prefix } from '../../app/place'
import { useWords } from '../../app/settings'
import type { Source } from '../../sora'
import css from './Sources.module.css'
import { threadWords } from './words'

/** The question whose answer is shown: a document marks what says something to it. */
export const Asked = createContext('')

/** What an answer rests on: pages of the web, documents of the knowledge base, files that were sent along. */
export function Sources({ sources }: { sources: readonly Source[] }) {
  const w = useWords(threadWords)
  if (sources.length === 0) return null
  return (
    <section className={css.sources}>
      <h3>{w.sources}</h3>
      <ol>
        {sources.map((source) => (
          <li key={source.url}>
            <One {...source} />
          </li>
        ))}
      </ol>
    </section>
  )
}

function One({ url, title }: Source) {
  const question = use(Asked)
  const page = documentPage(url)
  if (page !== null) {
    return (
      <Link className={css.source} href={`${page}?q=${encodeURIComponent(question.slice(0, 400))}`}>
        <Library size={15} aria-hidden />
        <span>{title}</span>
      </Link>
    )
  }
  if (url.startsWith('https://') || url.startsWith('http://')) {
    return (
      <a className={css.source} href={url} target="_blank" rel="noopener noreferrer nofollow" title={url}>
        <Globe size={15} aria-hidden />
        <span>{title}</span>
        <small>{host(url, title)}</small>
      </a>
    )
  }
  if (url.startsWith('/') && !url.startsWith('//')) {
    const own = url.startsWith(`${prefix}/`) ? url : prefix + url
    return (
      <a className={css.source} href={own} target="_blank" rel="noopener">
        <Library size={15} aria-hidden />
        <span>{title}</span>
      </a>
    )
  }
  return (
    <span className={css.source}>
      <FileText size={15} aria-hidden />
      <span>{title}</span>
    </span>
  )
}

/** The site, unless the title says it already. */
function host(url: string, title: string): string {
  try {
    const { hostname } = new URL(url)
    return title.includes(hostname) ? '' : hostname.replace(/^www\./, '')
  } catch {
    return ''
  }
}

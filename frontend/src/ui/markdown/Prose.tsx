import 'katex/dist/katex.min.css'

import { createElement, memo, type ComponentProps, type ReactNode } from 'react'
import ReactMarkdown, { defaultUrlTransform, type Components, type Options } from 'react-markdown'
import rehypeKatex from 'rehype-katex'
import remarkGfm from 'remark-gfm'
import remarkMath from 'remark-math'

import { documentPage, prefix } from '../../app/place'
import { Code } from './Code'
import css from './Markdown.module.css'
import { rowGroups } from './rows'

const REMARK: Options['remarkPlugins'] = [[remarkGfm, { singleTilde: false }], remarkMath]
const REHYPE: Options['rehypePlugins'] = [[rehypeKatex, { throwOnError: false, errorColor: 'currentColor', trust: false }]]

/** A block of Markdown. In a chunk of its own: what it takes to read it is not small. */
export default function Prose({ text, pictures }: Props) {
  const parts = rowGroups(text)
  if (parts.length < 2) return <Parsed text={text} pictures={pictures} components={COMPONENTS} />
  return (
    <Wide>
      {parts.map((part, at) => (
        <Parsed key={at} text={part} pictures={pictures} components={at === 0 ? FIRST_ROWS : MORE_ROWS} />
      ))}
    </Wide>
  )
}

interface Props {
  text: string
  pictures: ReadonlySet<string>
}

/** Parsed again only when the text is another one. */
const Parsed = memo(function Parsed({ text, pictures, components }: Props & { components: Components }) {
  return (
    <ReactMarkdown
      remarkPlugins={REMARK}
      rehypePlugins={REHYPE}
      urlTransform={address}
      components={{ ...components, img: (picture) => <Picture {...picture} shown={pictures} /> }}
    >
      {text}
    </ReactMarkdown>
  )
})

/** What a link may lead to: the web, mail, and places of our own; a picture may be data. */
function address(url: string, key: string): string {
  if (key === 'src' && /^data:image\/(?:png|jpeg|gif|webp);base64,/.test(url)) return url
  return defaultUrlTransform(url)
}

/** A document of the knowledge base has a page of the app. */
function placed(href: string | undefined): string | undefined {
  const page = documentPage(href ?? '')
  return page === null ? href : `${prefix}/app${page}`
}

const heading = (level: number) =>
  function Heading({ children }: ComponentProps<'h3'>) {
    // The page's own headings are above the answer's.
    return createElement(`h${String(Math.min(level + 2, 6))}`, null, children)
  }

const COMPONENTS: Components = {
  h1: heading(1),
  h2: heading(2),
  h3: heading(3),
  h4: heading(4),
  a: ({ href, children }) =>
    href?.startsWith('#') ? (
      <span>{children}</span>
    ) : (
      <a href={placed(href)} target="_blank" rel="noopener noreferrer nofollow">
        {children}
      </a>
    ),
  table: ({ children }) => <Wide>{children}</Wide>,
  pre: ({ node, children }) => {
    const [code] = node?.children ?? []
    if (code?.type !== 'element' || code.tagName !== 'code') return <pre>{children}</pre>
    const language = /language-([\w+#.-]+)/.exec([code.properties.className].flat().join(' '))?.[1] ?? ''
    const text = code.children.map((one) => (one.type === 'text' ? one.value : '')).join('')
    return <Code language={language} code={text} growing={false} />
  },
}

/** Of a table in several groups of rows: what stands around them is there already. */
const FIRST_ROWS: Components = { ...COMPONENTS, table: ({ children }) => children }
const MORE_ROWS: Components = { ...FIRST_ROWS, thead: () => null }

function Wide({ children }: { children: ReactNode }) {
  return (
    <div className={css.wide} tabIndex={0}>
      <table>{children}</table>
    </div>
  )
}

function Picture({ src, alt, shown }: ComponentProps<'img'> & { shown: ReadonlySet<string> }) {
  const url = typeof src === 'string' ? src : ''
  // A picture that nobody referred to could carry what was said to whoever it is fetched from.
  if (url.startsWith('data:') || (url.startsWith('https://') && shown.has(url))) {
    return <img src={url} alt={alt ?? ''} loading="lazy" referrerPolicy="no-referrer" />
  }
  return url ? (
    <a href={url} target="_blank" rel="noopener noreferrer nofollow">
      {alt === undefined || alt === '' ? url : alt}
    </a>
  ) : (
    <span>{alt}</span>
  )
}

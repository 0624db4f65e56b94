import { Play } from 'lucide-react'
import { useState } from 'react'

import { useWords } from '../../app/settings'
import type { MediaResult } from '../../sora'
import { Sources } from '../thread/Sources'
import type { Answer } from '../thread/TurnView'
import css from './Found.module.css'
import { askWords } from './words'

/** What came with an answer: sources, pictures, videos, what it cost, and whether the topic had changed. */
export function Found({ sources, metadata }: Answer) {
  const w = useWords(askWords)
  const images = shown(metadata?.imageResults)
  const videos = shown(metadata?.youtubeResults)
  const usage = metadata?.usage
  if (sources.length === 0 && metadata === null) return null
  return (
    <div className={css.found}>
      {metadata?.topicDrifted === true && <p className={css.drifted}>{w.drifted}</p>}
      {images.length > 0 && (
        <ul className={css.images} aria-label={w.images}>
          {images.map((image) => (
            <Image key={image.url} url={image.url} title={image.title} />
          ))}
        </ul>
      )}
      {videos.length > 0 && (
        <ul className={css.videos} aria-label={w.videos}>
          {videos.map((video) => (
            <li key={video.url}>
              <a href={video.url} target="_blank" rel="noopener noreferrer nofollow">
                <span>
                  <Play size={16} fill="currentColor" aria-hidden />
                </span>
                <span>{video.title}</span>
              </a>
            </li>
          ))}
        </ul>
      )}
      <Sources sources={sources} />
      {usage && <p className={css.usage}>{w.usage(usage.input, usage.output)}</p>}
    </div>
  )
}

function Image({ url, title }: { url: string; title: string }) {
  const [broken, setBroken] = useState(false)
  return (
    <li>
      <a href={url} target="_blank" rel="noopener noreferrer nofollow">
        {!broken && (
          <img src={url} alt={title} loading="lazy" referrerPolicy="no-referrer" onError={() => setBroken(true)} />
        )}
        <span>{title}</span>
      </a>
    </li>
  )
}

function shown(results: MediaResult[] | undefined): { url: string; title: string }[] {
  return (results ?? []).flatMap(({ url, title }) =>
    url?.startsWith('https://') ? [{ url, title: title ?? url }] : [],
  )
}

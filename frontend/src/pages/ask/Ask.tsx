import { FileUp, Globe, Paperclip, X } from 'lucide-react'
import { Switch } from 'radix-ui'
import { useRef, useState } from 'react'

import { useWords } from '../../app/settings'
import type { RunHandle } from '../../sora'
import { IconButton } from '../../ui/Button'
import { Talk } from '../thread/Talk'
import type { Extras } from '../thread/TurnView'
import css from './Ask.module.css'
import { Found } from './Found'
import { useDrop } from './useDrop'
import { useFiles } from './useFiles'
import { askWords } from './words'

const EXTRAS: Extras = { below: (answer) => <Found {...answer} /> }

/** Questions with files, the knowledge base and the web behind them. */
export default function Ask() {
  const w = useWords(askWords)
  const { files, add, remove, clear } = useFiles()
  const [web, setWeb] = useState(false)
  const picker = useRef<HTMLInputElement>(null)
  const { over, ...drop } = useDrop(add)

  const start = async (run: RunHandle, name: string, text: string) => {
    const sent = files
    clear()
    const runId = await run.start('ask', { question: text, sessionId: name, isWebSearch: web, files: sent })
    // What was refused can be mended and sent again.
    if (runId === null) add(sent)
    return runId
  }

  return (
    <div className={css.page} {...drop}>
      {over && (
        <div className={css.drop}>
          <FileUp size={36} aria-hidden />
          {w.drop}
        </div>
      )}
      <Talk
        page="ask"
        start={start}
        extras={EXTRAS}
        words={w}
        files={files.map((file) => file.name)}
        onPaste={add}
        above={files.length > 0 && <Files files={files} onRemove={remove} />}
        beside={
          <>
            <IconButton label={w.attach} onClick={() => picker.current?.click()}>
              <Paperclip size={19} aria-hidden />
            </IconButton>
            <input
              ref={picker}
              type="file"
              multiple
              hidden
              aria-label={w.attach}
              onChange={(event) => {
                add([...(event.target.files ?? [])])
                event.target.value = ''
              }}
            />
            <Switch.Root className={css.toggle} checked={web} onCheckedChange={setWeb} aria-label={w.web}>
              <Globe size={17} aria-hidden />
              {w.web}
            </Switch.Root>
          </>
        }
      />
    </div>
  )
}

function Files({ files, onRemove }: { files: readonly File[]; onRemove: (file: File) => void }) {
  const w = useWords(askWords)
  return (
    <ul className={css.files}>
      {files.map((file, at) => (
        <li key={at} className={css.file}>
          <span>{file.name}</span>
          <small>{size(file.size)}</small>
          <IconButton label={w.takeOut(file.name)} onClick={() => onRemove(file)}>
            <X size={15} aria-hidden />
          </IconButton>
        </li>
      ))}
    </ul>
  )
}

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  if (bytes < 1024 * 1024) return `${Math.round(bytes / 1024)} kB`
  return `${(bytes / 1024 / 1024).toFixed(1)} MB`
}

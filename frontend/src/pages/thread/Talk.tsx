import { ArrowDown, PanelLeft, SquarePen } from 'lucide-react'
import { useEffect, useState, type ReactNode } from 'react'

import { NotLoaded } from '../../app/NotLoaded'
import { useDraft } from '../../app/useDraft'
import { useEscape } from '../../app/useEscape'
import { useFollow } from '../../app/useFollow'
import { useStable } from '../../app/useStable'
import { useWords } from '../../app/settings'
import { words } from '../../app/words'
import { useRun, type RunHandle } from '../../sora'
import { Button, IconButton } from '../../ui/Button'
import { Composer } from '../../ui/Composer'
import { Drawer } from '../../ui/Drawer'
import { Mark } from '../../ui/Mark'
import { Conversations } from './Conversations'
import css from './Talk.module.css'
import { TurnView, type Extras } from './TurnView'
import { useName, type Name } from './useName'
import { useRoom } from './useRoom'
import { threadWords } from './words'

interface Props {
  page: 'chat' | 'ask' | 'agent'
  words: { title: string; text: string; placeholder: string; examples: readonly string[] }
  /** Asks in the conversation of this name; the run's id, or null. */
  start: (run: RunHandle, name: string, text: string) => Promise<string | null>
  extras: Extras
  /** Files that go along with the next question. */
  files?: readonly string[]
  above?: ReactNode
  beside?: ReactNode
  onPaste?: (files: File[]) => void
}

/** A page of conversations: their list, and one of them with the field to go on in it. */
export function Talk(props: Props) {
  const w = useWords(threadWords)
  const name = useName(props.page)
  const [version, setVersion] = useState('')
  const [open, setOpen] = useState(false)
  const list = (
    <Conversations
      page={props.page}
      own={(other) => belongs(props.page, other)}
      current={name}
      version={version}
      onChosen={() => setOpen(false)}
    />
  )
  return (
    <div className={css.talk}>
      <aside className={css.list}>{list}</aside>
      {open && (
        <Drawer title={w.conversations} onClose={() => setOpen(false)}>
          {list}
        </Drawer>
      )}
      <div className={css.room}>
        <div className={css.bar}>
          <IconButton label={w.open} onClick={() => setOpen(true)}>
            <PanelLeft size={20} aria-hidden />
          </IconButton>
          <IconButton label={w.fresh} onClick={() => name.go(null)}>
            <SquarePen size={20} aria-hidden />
          </IconButton>
        </div>
        <RoomView key={name.name} {...props} name={name} onChanged={setVersion} />
      </div>
    </div>
  )
}

function RoomView(props: Props & { name: Name; onChanged: (version: string) => void }) {
  const { page, name, files = NONE, start, extras } = props
  const w = useWords(threadWords)
  const common = useWords(words)
  const run = useRun()
  const room = useRoom(name.name, name.kept, run)
  const [draft, setDraft] = useDraft(page)
  const { scroller, content, end, following, follow } = useFollow(true)
  useEscape(room.busy, () => void run.stop())
  // Once something was asked the server knows the conversation. The list shows what is under way, and what was last spoken in.
  const changed = useStable((runId: string, busy: boolean) => {
    name.keep()
    props.onChanged(`${runId} ${busy}`)
  })
  useEffect(() => {
    if (run.runId !== null) changed(run.runId, room.busy)
  }, [changed, run.runId, room.busy])

  const ask = useStable((text: string) => {
    follow()
    room.ask(text, files, () => start(run, name.name, text))
  })
  const send = () => {
    setDraft('')
    ask(draft.trim())
  }
  const write = (text: string) => {
    setDraft(text)
    document.querySelector<HTMLTextAreaElement>('form textarea')?.focus()
  }
  const again = useStable(room.again)
  const empty = room.turns.length === 0 && !room.loading && room.error === null

  return (
    <>
      {!empty && <h1 className="visually-hidden">{common[page]}</h1>}
      {/* With nothing in it to go to by the keyboard it must be one that scrolls by keys itself. */}
      <div className={css.scroller} ref={scroller} role="group" aria-label={w.said} tabIndex={0}>
        <div className={css.turns} ref={content}>
          {empty && (
            <div className={css.empty}>
              <Mark size={56} />
              <h1>{props.words.title}</h1>
              <p>{props.words.text}</p>
              <div className={css.examples}>
                {props.words.examples.map((example) => (
                  <Button key={example} onClick={() => write(example)}>
                    {example}
                  </Button>
                ))}
              </div>
            </div>
          )}
          {room.error !== null && room.turns.length === 0 && (
            <NotLoaded error={room.error} onRetry={room.reload} />
          )}
          {room.earlier && (
            <Button look="quiet" className={css.earlier} onClick={room.earlier}>
              {w.earlier}
            </Button>
          )}
          {room.turns.map((turn, at) => (
            <TurnView
              key={turn.key}
              turn={turn}
              run={turn.live ? run : null}
              extras={extras}
              last={at === room.turns.length - 1}
              busy={room.busy}
              end={end}
              onAgain={again}
              onAsk={ask}
            />
          ))}
          {!room.turns.at(-1)?.live && <div ref={end} />}
        </div>
      </div>
      <div className={css.foot}>
        {!following && room.turns.length > 0 && (
          <IconButton className={css.end} look="plain" label={w.toEnd} onClick={follow}>
            <ArrowDown size={18} aria-hidden />
          </IconButton>
        )}
        <Composer
          label={w.message}
          hint={w.hint}
          placeholder={props.words.placeholder}
          value={draft}
          onChange={setDraft}
          onSend={send}
          onStop={() => void run.stop()}
          busy={room.busy}
          canSend={draft.trim() !== '' || files.length > 0}
          above={props.above}
          {...(props.onPaste ? { onPaste: props.onPaste } : {})}
        >
          {props.beside}
        </Composer>
      </div>
    </>
  )
}

const NONE: readonly string[] = []

/** Whether a conversation of this name is shown on the page: what is neither ask's nor the agent's is the chat's. */
function belongs(page: Props['page'], name: string): boolean {
  return page === (['ask', 'agent'].find((other) => name.startsWith(`${other}-`)) ?? 'chat')
}

import { Ellipsis, Plus } from 'lucide-react'
import { useState } from 'react'
import { Link } from 'wouter'

import { useSession } from '../../app/session'
import { useLast } from '../../app/useLast'
import { useLoaded } from '../../app/useLoaded'
import { useWords } from '../../app/settings'
import { words } from '../../app/words'
import { useSora, type Conversation, type Page } from '../../sora'
import { Button, IconButton } from '../../ui/Button'
import { Confirm } from '../../ui/Confirm'
import { Menu, MenuItem } from '../../ui/Menu'
import css from './Conversations.module.css'
import type { Name } from './useName'
import { threadWords } from './words'

interface Props {
  page: string
  /** Whether this is a conversation of the page's, by its name. */
  own: (name: string) => boolean
  current: Name
  /** Another value when the list may have changed. */
  version: string
  onChosen: () => void
}

/** One's conversations, the last one spoken in first. */
export function Conversations({ page, own, current, version, onChosen }: Props) {
  const w = useWords(threadWords)
  const common = useWords(words)
  const client = useSora()
  const { noticed } = useSession()
  const [more, setMore] = useState<{ version: string; pages: Page<Conversation>[] }>({ version, pages: [] })
  const [removing, setRemoving] = useState<string | null>(null)
  const first = useLoaded(version, () => client.conversations.list({ limit: 50 }))
  const later = more.version === version ? more.pages : []
  const start = useLast(first.data)
  const pages = start ? [start, ...later] : []
  const items = pages.flatMap((one) => one.items).filter(({ id }) => own(id))
  const next = pages.at(-1)?.nextCursor ?? null

  const load = () => {
    if (next === null) return
    client.conversations
      .list({ limit: 50, before: next })
      .then((one) => setMore({ version, pages: [...later, one] }), noticed)
  }
  const remove = (name: string) => {
    client.conversations.remove(name).then(() => {
      setMore({ version, pages: [] })
      first.reload()
      if (name === current.name) current.go(null)
    }, noticed)
  }
  const rename = (name: string, title: string) => {
    client.conversations.rename(name, title).then(() => {
      setMore({ version, pages: [] })
      first.reload()
    }, noticed)
  }

  return (
    <nav aria-label={w.conversations}>
      <Button
        className={css.fresh}
        onClick={() => {
          current.go(null)
          onChosen()
        }}
      >
        <Plus size={18} aria-hidden />
        {w.fresh}
      </Button>
      {start && items.length === 0 && <p className={css.none}>{w.none}</p>}
      <ul className={css.list}>
        {items.map((conversation) => (
          <Item
            key={conversation.id}
            page={page}
            conversation={conversation}
            current={conversation.id === current.name}
            onChosen={onChosen}
            onRename={rename}
            onRemove={setRemoving}
          />
        ))}
      </ul>
      {next !== null && (
        <Button look="quiet" onClick={load}>
          {common.more}
        </Button>
      )}
      {removing !== null && (
        <Confirm
          title={w.removeTitle}
          text={w.removeText}
          action={common.remove}
          onConfirm={() => remove(removing)}
          onClose={() => setRemoving(null)}
        />
      )}
    </nav>
  )
}

interface ItemProps {
  page: string
  conversation: Conversation
  current: boolean
  onChosen: () => void
  onRename: (name: string, title: string) => void
  onRemove: (name: string) => void
}

function Item({ page, conversation, current, onChosen, onRename, onRemove }: ItemProps) {
  const w = useWords(threadWords)
  const common = useWords(words)
  const [renaming, setRenaming] = useState(false)
  const title = conversation.title ?? w.untitled

  if (renaming) {
    return (
      <li className={css.item}>
        <input
          autoFocus
          aria-label={w.renameTo}
          defaultValue={title}
          maxLength={255}
          onBlur={() => setRenaming(false)}
          onKeyDown={(event) => {
            if (event.nativeEvent.isComposing) return
            if (event.key === 'Enter' && event.currentTarget.value.trim()) {
              onRename(conversation.id, event.currentTarget.value.trim())
            }
            if (event.key === 'Escape') event.preventDefault()
            if (event.key === 'Enter' || event.key === 'Escape') setRenaming(false)
          }}
        />
      </li>
    )
  }
  return (
    <li className={css.item} data-current={current}>
      <Link
        href={`/${page}?c=${encodeURIComponent(conversation.id)}`}
        aria-current={current ? 'page' : undefined}
        onClick={onChosen}
      >
        {conversation.runId !== null && <span className={css.dot} title={w.underWay} />}
        <span className={css.title}>{title}</span>
      </Link>
      <Menu
        trigger={
          <IconButton label={w.options(title)}>
            <Ellipsis size={18} aria-hidden />
          </IconButton>
        }
      >
        <MenuItem onSelect={() => setRenaming(true)}>{w.rename}</MenuItem>
        <MenuItem bad onSelect={() => onRemove(conversation.id)}>
          {common.remove}
        </MenuItem>
      </Menu>
    </li>
  )
}

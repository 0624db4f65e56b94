import { useState } from 'react'

import { isActive, useEventSource, type Turn } from '../src/sora'

/**
 * The chat that sends along what was said: `GET /api/chat/stream?message=…&history=…`. It sent the last message again 3 s after every
 * error; now nothing is sent twice, and `retry` is a button.
 */
export function Chunks() {
  const [turns, setTurns] = useState<Turn[]>([])
  const chat = useEventSource({
    onComplete: ({ text }) => {
      setTurns((said) => [...said, { role: 'assistant', content: text }])
      chat.reset()
    },
  })

  const send = (form: FormData) => {
    const content = form.get('message') as string
    setTurns([...turns, { role: 'user', content }])
    void chat.chunks(content, turns)
  }

  return (
    <form action={send}>
      <ol>
        {[...turns, ...(chat.text ? [{ role: 'assistant', content: chat.text }] : [])].map(({ role, content }, at) => (
          <li key={at} data-role={role}>
            {content}
          </li>
        ))}
      </ol>
      <input name="message" aria-label="메시지" required />
      <button disabled={isActive(chat)}>보내기</button>
      {chat.error && (
        <p role="alert">
          {chat.error.message} <button onClick={() => void chat.retry()}>다시</button>
        </p>
      )}
    </form>
  )
}

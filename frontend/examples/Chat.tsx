import { isActive, useEventSource } from '../src/sora'

/** The chat by EventSource: `GET /chat?query=…`, whose messages were appended as they came, and asked anew after a lost connection. */
export function Chat() {
  const chat = useEventSource()

  return (
    <form action={(form) => void chat.chat(form.get('query') as string)}>
      <input name="query" aria-label="질문" required />
      <button disabled={isActive(chat)}>보내기</button>
      <output>{chat.text}</output>
      {chat.error && <p role="alert">{chat.error.message}</p>}
    </form>
  )
}

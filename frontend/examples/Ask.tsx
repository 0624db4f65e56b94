import { isActive, useAsk } from '../src/sora'

/** The question with files: `POST /api/ask`, whose lines were cut apart by hand, and whose session was the page's. */
export function Ask() {
  const ask = useAsk()
  const stage = ask.progress.findLast(({ status }) => status === 'in_progress')

  const send = (form: FormData) => {
    const files = (form.getAll('files') as File[]).filter(({ size }) => size > 0)
    void ask.send({ question: form.get('question') as string, isWebSearch: form.has('web'), files })
  }

  return (
    <form action={send}>
      <input name="question" aria-label="질문" required />
      <input name="files" aria-label="파일" type="file" multiple />
      <label>
        <input name="web" type="checkbox" /> 웹 검색
      </label>
      <button disabled={isActive(ask)}>보내기</button>
      {ask.upload !== null && ask.upload < 1 && <progress value={ask.upload} />}
      {ask.text === '' && stage && <p>{stage.message}</p>}
      <output>{ask.text}</output>
      <ul aria-label="참고">
        {ask.sources.map(({ url, title }) => (
          <li key={url}>
            <a href={url}>{title}</a>
          </li>
        ))}
      </ul>
      {ask.metadata?.topicDrifted && <p>새로운 주제로 이야기를 시작합니다.</p>}
      {ask.usage && <p>{ask.usage.total_tokens} 토큰</p>}
      {ask.error && <p role="alert">{ask.error.message}</p>}
    </form>
  )
}

import { isActive, useAgent, useEventSource } from '../src/sora'

/** The agent's client of the guide: steps that are ticked, the answer, a button to cancel, and 60 s at most. */
export function Agent({ byTicket = false, timeout = 60_000 }: { byTicket?: boolean; timeout?: number }) {
  const direct = useAgent({ timeout })
  const source = useEventSource({ timeout })
  const agent = byTicket ? source : direct

  const send = (form: FormData) => {
    const message = form.get('message') as string
    void (byTicket ? source.ticket('agent', { message, user_id: 'user123' }) : direct.send({ message }))
  }

  return (
    <form action={send}>
      <input name="message" aria-label="메시지" required />
      <button disabled={isActive(agent)}>보내기</button>
      {isActive(agent) && (
        <button type="button" onClick={() => void agent.stop()}>
          취소
        </button>
      )}
      <ol aria-label="단계">
        {agent.progress.map(({ stage, status, message }) => (
          <li key={stage}>
            {status === 'completed' ? '✓' : status === 'failed' ? '✗' : '…'} {message}
          </li>
        ))}
      </ol>
      <output>{agent.text}</output>
      {agent.result?.confidence_score != null && <p>신뢰도 {Math.round(agent.result.confidence_score * 100)}%</p>}
      {agent.result?.table_data && <pre aria-label="표">{JSON.stringify(agent.result.table_data)}</pre>}
      {agent.status === 'cancelled' && <p>취소했습니다.</p>}
      {agent.error && <p role="alert">{agent.error.message}</p>}
    </form>
  )
}

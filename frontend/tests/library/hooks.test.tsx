import './dom'

import { cleanup, render, screen } from '@testing-library/react'
import { EventSource } from 'eventsource'
import { StrictMode, useEffect, type ReactNode } from 'react'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { Agent } from '../../examples/Agent'
import { Ask } from '../../examples/Ask'
import { Chat } from '../../examples/Chat'
import { Chunks } from '../../examples/Chunks'
import { Review } from '../../examples/Review'
import { createClient, SoraProvider, useReview, useRun, type SoraClient } from '../../src/sora'
import { Server } from './server'

let server: Server
let client: SoraClient

beforeAll(async () => {
  Object.assign(globalThis, { EventSource })
  server = await Server.start({ env: { SORA_MODEL: 'sim-n60-d10' } })
  client = createClient({ baseUrl: server.url, language: 'ko' })
})
afterAll(() => server.stop())
beforeEach(() => server.forget())
afterEach(cleanup)

function show(what: ReactNode) {
  return render(
    <StrictMode>
      <SoraProvider client={client}>{what}</SoraProvider>
    </StrictMode>,
  )
}

/** Types into the fields by their labels, and clicks, twice as an impatient person does. */
function send(fields: Record<string, string>, button = '보내기') {
  for (const [label, value] of Object.entries(fields)) {
    const field = screen.getByLabelText<HTMLInputElement>(label)
    field.value = value
  }
  const element = screen.getByText<HTMLButtonElement>(button)
  element.click()
  element.click()
}

const answer = () => document.querySelector('output')?.textContent ?? ''
const idle = () => !screen.getByText<HTMLButtonElement>('보내기').disabled

/** What the server has of the newest run. */
async function newest() {
  const { items } = await client.runs.list({ limit: 1 })
  return await client.runs.show(items[0]?.id ?? '')
}

async function until(condition: () => boolean) {
  await expect.poll(condition, { timeout: 60_000 }).toBe(true)
}

describe('the original clients', () => {
  it('a review, saved when it is done', async () => {
    const saved: string[] = []
    show(<Review onSaved={() => saved.push(answer())} />)
    send({ 일기: '오늘은 비가 왔다.' })
    await until(() => saved.length > 0)
    expect(answer()).toBe((await newest()).text)
    const { items } = await client.reviews.list()
    expect(items).toMatchObject([{ body: '오늘은 비가 왔다.', type: 'FEELING', feedback: answer() }])
    const [year, month, day] = (items[0]?.date ?? '').split('-').map(Number) as [number, number, number]
    expect(await client.reviews.month(year, month)).toEqual([{ day, feedbackType: 'FEELING' }])
    expect(await client.reviews.day(year, month, day)).toMatchObject({ id: items[0]?.id, others: [] })
    await client.reviews.remove(items[0]?.id ?? '')
    expect((await client.reviews.list()).items).toEqual([])
    expect(await server.generations()).toHaveLength(1)
  })

  it('a review that is stopped', async () => {
    show(<Review />)
    send({ 일기: '그만 쓸래.' })
    await until(() => answer().length > 10)
    screen.getByText('그만').click()
    await until(idle)
    expect(await newest()).toMatchObject({ status: 'cancelled', text: answer() })
  })

  it('a chat by EventSource', async () => {
    show(<Chat />)
    send({ 질문: '안녕?' })
    await until(() => answer() !== '' && idle())
    expect(answer()).toBe((await newest()).text)
    expect(await server.generations()).toHaveLength(1)
  })

  it('a chat that sends along what was said', async () => {
    show(<Chunks />)
    const turns = () => Array.from(document.querySelectorAll('li'), (li) => li.textContent)
    send({ 메시지: '첫 번째' })
    await until(() => turns().length === 2 && idle())
    const first = (await newest()).text
    send({ 메시지: '두 번째' })
    await until(() => turns().length === 4 && idle())
    expect(turns()).toEqual(['첫 번째', first, '두 번째', (await newest()).text])
    const asked = await server.generations()
    expect(asked).toHaveLength(2)
    expect(asked[1]?.messages.map(({ content }) => content)).toEqual(expect.arrayContaining(['첫 번째', first, '두 번째']))
  })

  it('a question, with what it rests on', async () => {
    show(<Ask />)
    send({ 질문: '남은 연차는 이월되나요?' })
    await until(() => answer() !== '' && idle())
    expect(answer()).toBe((await newest()).text)
    expect(document.body.textContent).toMatch(/\d+ 토큰/)
    expect(await server.generations()).toHaveLength(1)
  })

  it.each([false, true])('the agent, with its steps (by ticket: %s)', async (byTicket) => {
    show(<Agent byTicket={byTicket} />)
    send({ 메시지: 'ABC-12345 부품의 재고는?' })
    await until(() => answer() !== '' && idle())
    expect(answer()).toBe((await newest()).text)
    const steps = Array.from(document.querySelectorAll('ol[aria-label=단계] li'), (li) => li.textContent)
    expect(steps).toEqual(['✓ 질문 분석 완료', '✓ 자료 검색 완료', '✓ 답변 생성 완료'])
    expect(await server.generations()).toHaveLength(1)
  })

  it('the agent, which takes too long', async () => {
    show(<Agent timeout={300} />)
    send({ 메시지: '오래 걸리나요?' })
    await until(() => document.querySelector('[role=alert]') !== null)
    expect(document.querySelector('[role=alert]')?.textContent).toContain('너무 늦어')
    expect((await newest()).status).toBe('cancelled')
  })
})

describe('a hook', () => {
  it('goes on where it was when its component comes back, and starts nothing', async () => {
    const id = await client.runs.start('review', { body: '다시 볼게', type: 'T', reviewDate: '2026-01-20' })
    function Attached() {
      const { attach, text, status } = useRun()
      useEffect(() => attach(id), [attach])
      return <output data-status={status}>{text}</output>
    }
    const first = show(<Attached />)
    await until(() => answer().length > 5)
    first.unmount()
    show(<Attached />)
    await until(() => document.querySelector('output')?.dataset.status === 'completed')
    expect(answer()).toBe((await newest()).text)
    expect(await server.generations()).toHaveLength(1)
  })

  it('renders no more often than there are frames, and keeps its functions', async () => {
    let renders = 0
    const functions = new Set<unknown>()
    const ends: string[] = []
    function Counted() {
      const review = useReview({ onComplete: ({ status }) => ends.push(status) })
      const { stop, retry, attach, reset } = review
      renders += 1
      for (const one of [stop, retry, attach, reset]) functions.add(one)
      return (
        <button onClick={() => void review.send({ body: '세어 봐', type: 'F', reviewDate: '2026-01-20' })}>보내기</button>
      )
    }
    render(
      <SoraProvider client={client}>
        <Counted />
      </SoraProvider>,
    )
    send({})
    await until(() => ends.length > 0)
    expect(ends).toEqual(['completed'])
    expect(functions.size).toBe(4)
    expect(renders).toBeLessThan(90)
  })

  it('asks through another client once it is given one', async () => {
    function Wrong() {
      const { start, error } = useRun()
      const send = () => void start('review', { body: '', type: 'F', reviewDate: '2026-01-20' })
      return <button onClick={send}>{error ? error.message : '보내기'}</button>
    }
    const view = show(<Wrong />)
    screen.getByRole('button').click()
    await until(() => screen.getByRole('button').textContent === '요청이 올바르지 않습니다.')
    client = createClient({ baseUrl: server.url, language: 'en' })
    view.rerender(
      <StrictMode>
        <SoraProvider client={client}>
          <Wrong />
        </SoraProvider>
      </StrictMode>,
    )
    screen.getByRole('button').click()
    await until(() => screen.getByRole('button').textContent === 'The request is not valid.')
  })

  it('tells nobody who has gone', async () => {
    const told: string[] = []
    function Gone() {
      const review = useReview({ onComplete: () => told.push('complete'), onError: () => told.push('error') })
      return <button onClick={() => void review.send({ body: '안녕', type: 'F', reviewDate: '2026-01-20' })}>보내기</button>
    }
    const view = show(<Gone />)
    send({})
    view.unmount()
    await expect.poll(async () => (await newest()).status, { timeout: 60_000 }).toBe('completed')
    expect(told).toEqual([])
  })
})

import { EventSource } from 'eventsource'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { createClient, SourceRun, type RunState } from '../../src/sora'
import { block, delta, json, Scripted, started, stream } from './scripted'
import { Server } from './server'
import { settled, when } from './settled'

let server: Server

beforeAll(async () => {
  server = await Server.start({ env: { SORA_MODEL: 'sim-n150-d10' }, workers: 2 })
})
afterAll(() => server.stop())
beforeEach(() => server.forget())

function newRun(baseUrl = server.url) {
  const run = new SourceRun(createClient({ baseUrl, language: 'en' }), { EventSource: EventSource })
  const states: RunState[] = []
  run.subscribe(() => states.push(run.getSnapshot()))
  return { run, states }
}

async function kept(runId: string | null): Promise<string> {
  return (await createClient({ baseUrl: server.url }).runs.show(runId ?? '')).text
}

describe('a run by EventSource', () => {
  it.each([
    ['GET /chat', (run: SourceRun) => run.chat('안녕하세요?')],
    ['GET /api/chat/stream', (run: SourceRun) => run.chunks('이어서', [{ role: 'user', content: '처음' }])],
    ['a ticket', (run: SourceRun) => run.ticket('review', { body: '오늘', type: 'F', reviewDate: '2026-01-20' })],
  ])('over %s is whole, and one generation, over lost connections', async (_, open) => {
    const { run, states } = newRun(await server.cutter([900, 3000]))
    await open(run)
    await open(run) // a second click
    const state = await settled(run)
    expect(state.status).toBe('completed')
    expect(state.text).toBe(await kept(state.runId))
    for (const [at, { text }] of states.entries()) expect(text.startsWith(states[at - 1]?.text ?? '')).toBe(true)
    expect(await server.generations()).toHaveLength(1)
  })

  it('goes on where it was after a look away', async () => {
    const { run } = newRun()
    await run.chat('보고 있어?')
    await when(run, ({ text }) => text.length > 20)
    run.close()
    run.open()
    const state = await settled(run)
    expect(state.text).toBe(await kept(state.runId))
    expect(await server.generations()).toHaveLength(1)
  })

  it('is stopped', async () => {
    const { run } = newRun()
    await run.chat('그만')
    await run.stop() // before it has a name
    const state = await settled(run)
    expect(state.status).toBe('cancelled')
    expect(await server.generations()).toHaveLength(1)
  })

  it('of the agent shows its steps and its result', async () => {
    const { run } = newRun()
    const steps: string[] = []
    run.listen({ onProgress: ({ stage, status }) => steps.push(`${stage} ${status}`) })
    await run.ticket('agent', { message: '재고는?', user_id: 'user123' })
    const { status, result, text } = await settled(run)
    expect(status).toBe('completed')
    expect(result?.content).toBe(text)
    expect(steps).toContain('query_analysis completed')
    expect(steps.at(-1)).toBe('response_generation completed')
  })

  it('is started once more by a retry', async () => {
    const { run } = newRun()
    await run.chat('다시')
    const first = await settled(run)
    await run.retry()
    const second = await settled(run)
    expect(second.status).toBe('completed')
    expect(second.runId).not.toBe(first.runId)
    expect(await server.generations()).toHaveLength(2)
  })
})

describe('an EventSource', () => {
  const done = (seq: number) => block(seq, 'done', { finish_reason: 'stop' })

  it('that is told to come later waits, and says why', async () => {
    const busy = stream(['retry: 100\n\n', block(0, 'error', { code: 'draining', message: 'Later.', retryable: true })])
    await using server = new Scripted([busy, stream([started, delta(0, 'a'), done(3)])])
    const { run, states } = newRun(await server.open())
    await run.chat('q')
    expect(await settled(run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(states.some(({ status, error }) => status === 'reconnecting' && error?.code === 'draining')).toBe(true)
    expect(server.requests[0]?.url).toMatch(/^\/chat\?query=q&format=native&heartbeat=event&key=[0-9a-f]{32}$/)
  })

  it('that is closed for good before anything was heard has failed', async () => {
    await using server = new Scripted([json(500, { success: false, error: 'no', code: 'internal' })])
    const { run } = newRun(await server.open())
    await run.chat('q')
    expect(await settled(run)).toMatchObject({ status: 'failed', error: { code: 'unavailable' } })
  })

  it('whose token expires in mid-answer has failed, and can go on', async () => {
    const expired = block(0, 'error', { code: 'unauthorized', message: 'expired', retryable: true })
    await using server = new Scripted([stream([started, delta(0, 'a'), expired]), stream([delta(1, 'b'), done(4)])])
    const { run } = newRun(await server.open())
    await run.chat('q')
    expect(await settled(run)).toMatchObject({ status: 'failed', text: 'a', error: { code: 'unauthorized' } })
    await run.retry()
    expect(await settled(run)).toMatchObject({ status: 'completed', text: 'ab' })
    const [first, second] = server.requests.map(({ url }) => url)
    expect(second).toBe(`${first}&last_event_id=r%3A1-2`)
  })
})

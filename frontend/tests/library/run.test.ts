import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { createClient, Run, type RunState } from '../../src/sora'
import { Server } from './server'
import { settled, when } from './settled'

const DIARY = { body: '오늘은 비가 와서 창밖을 오래 보았다.', type: 'F', reviewDate: '2026-01-20' } as const

let server: Server

beforeAll(async () => {
  server = await Server.start({ env: { SORA_MODEL: 'sim-n200-d10' } })
})
afterAll(() => server.stop())
beforeEach(() => server.forget())

function newRun(url = server.url, options = {}): Run {
  return new Run(createClient({ baseUrl: url }), options)
}

/** What the server itself has of the run. */
async function kept(runId: string | null): Promise<string> {
  return (await createClient({ baseUrl: server.url }).runs.show(runId ?? '')).text
}

describe('a run', () => {
  it('goes from nothing to the whole text', async () => {
    const run = newRun()
    const seen: RunState[] = []
    run.subscribe(() => seen.push(run.getSnapshot()))
    const completed: RunState[] = []
    run.listen({ onComplete: (state) => completed.push(state) })
    expect(run.getSnapshot().status).toBe('idle')
    const id = await run.start('review', DIARY)
    const state = await settled(run)
    expect(state).toMatchObject({ status: 'completed', runId: id, error: null, attempt: 0 })
    expect(state.text).toBe(await kept(id))
    expect(state.usage?.output_tokens).toBeGreaterThan(100)
    expect(state.timing.firstTokenMs).toBeGreaterThan(0)
    expect(state.timing.tokensPerSecond).toBeGreaterThan(1)
    await expect.poll(() => completed).toEqual([state])
    const statuses = seen.map(({ status }) => status).filter((status, at, all) => status !== all[at - 1])
    expect(statuses[0]).toBe('connecting')
    expect(statuses.slice(-2)).toEqual(['streaming', 'completed'])
    for (const [at, { text }] of seen.entries()) expect(text.startsWith(seen[at - 1]?.text ?? '')).toBe(true)
    expect(await server.generations()).toHaveLength(1)
  })

  it('is sent once, however often one clicks', async () => {
    const run = newRun()
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => run.start('review', DIARY)))
    expect(first).not.toBeNull()
    expect(others).toEqual([null, null])
    await settled(run)
    expect(await server.generations()).toHaveLength(1)
  })

  it('is the same in three tabs, and stopped in one it is stopped in all', async () => {
    const run = newRun()
    const id = await run.start('review', DIARY)
    const others = [newRun(), newRun()]
    for (const other of others) other.attach(id ?? '')
    await Promise.all(others.map((other) => when(other, ({ text }) => text.length > 10)))
    await others[1]?.stop()
    const ends = await Promise.all([run, ...others].map(settled))
    expect(ends.map(({ status }) => status)).toEqual(['cancelled', 'cancelled', 'cancelled'])
    const text = await kept(id)
    expect(ends.map((end) => end.text)).toEqual([text, text, text])
    expect(text).not.toBe('')
    expect(await server.generations()).toHaveLength(1)
  })

  it('is followed from its first character by who comes late, and after its end too', async () => {
    const run = newRun()
    const id = await run.start('review', DIARY)
    await when(run, ({ text }) => text.length > 30)
    const late = newRun()
    late.attach(id ?? '')
    const { text } = await settled(run)
    expect((await settled(late)).text).toBe(text)
    const after = newRun()
    after.attach(id ?? '')
    expect(await settled(after)).toMatchObject({ status: 'completed', text, timing: { firstTokenMs: null } })
    after.attach(id ?? '') // already there
    expect(after.getSnapshot().status).toBe('completed')
    expect(await server.generations()).toHaveLength(1)
  })

  it('that nobody has is not found', async () => {
    const run = newRun()
    run.attach('0000000000000000000000')
    expect(await settled(run)).toMatchObject({ status: 'failed', error: { code: 'not_found', status: 404 } })
  })
})

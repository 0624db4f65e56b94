import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { createClient, Run, type RunState } from '../../src/sora'
import { seeded } from './random'
import { Server } from './server'
import { settled, when } from './settled'

let server: Server

beforeAll(async () => {
  server = await Server.start({ env: { SORA_MODEL: 'sim-n400-d12', SORA_LEASE: '2' }, workers: 2 })
})
afterAll(() => server.stop())
beforeEach(() => server.forget())

interface Watched {
  run: Run
  states: RunState[]
}

function watch(url = server.url): Watched {
  const run = new Run(createClient({ baseUrl: url }))
  const states: RunState[] = []
  run.subscribe(() => states.push(run.getSnapshot()))
  return { run, states }
}

const diary = (about: unknown) => ({ body: `오늘의 이야기 ${String(about)} 🌙`, type: 'T', reviewDate: '2026-01-20' }) as const

async function kept(runId: string | null): Promise<string> {
  return (await createClient({ baseUrl: server.url }).runs.show(runId ?? '')).text
}

describe('connections that are cut', () => {
  it.each([1, 2, 3, 4, 5, 6])('lose and repeat no character (seed %i)', async (seed) => {
    const random = seeded(seed)
    const offsets = Array.from({ length: 6 }, () => Math.ceil(random() ** 3 * 6000))
    const url = await server.cutter(offsets)
    const { run, states } = watch(url)
    const id = await run.start('review', diary(seed))
    const state = await settled(run)
    expect(state.status).toBe('completed')
    expect(state.text).toBe(await kept(id))
    for (const [at, { text }] of states.entries()) expect(text.startsWith(states[at - 1]?.text ?? '')).toBe(true)
    expect(await server.cuts()).toBeGreaterThan(1)
    expect(states.some(({ status }) => status === 'reconnecting')).toBe(true)
    expect(await server.generations()).toHaveLength(1)
  })

  it('after the request has left, make no second generation', async () => {
    const { run } = watch(await server.cutter([1, 20, 40]))
    const id = await run.start('review', diary('lost answers'))
    const state = await settled(run)
    expect(state.text).toBe(await kept(id))
    expect(await server.cuts()).toBe(3)
    expect(await server.generations()).toHaveLength(1)
  })
})

describe('workers that are killed', () => {
  it('take no character with them that stays on the screen', async () => {
    const watched = Array.from({ length: 6 }, () => watch())
    const ids = await Promise.all(watched.map(({ run }, at) => run.start('review', diary(`kill ${at}`))))
    await Promise.all(watched.map(({ run }) => when(run, ({ text }) => text.length > 100)))
    await server.kill()
    const ends = await Promise.all(watched.map(({ run }) => settled(run)))
    for (const [at, { status, text, error }] of ends.entries()) {
      expect(status).toBe('interrupted')
      expect(text).toBe(await kept(ids[at] ?? null))
      expect(text.length).toBeGreaterThan(50)
      expect(error).toMatchObject({ code: 'interrupted', retryable: true })
    }
    expect(watched.every(({ states }) => states.some(({ status }) => status === 'reconnecting'))).toBe(true)
    expect(await server.generations()).toHaveLength(6)

    const again = watched[0]?.run
    const next = await again?.retry()
    expect(ids).not.toContain(next)
    expect(again && (await settled(again))).toMatchObject({ status: 'completed', runId: next })
  })
})

describe('workers that are killed while their answers are made in the background', () => {
  let background: Server
  beforeAll(async () => {
    const env = { SORA_MODEL: 'sim-n500-d12', SORA_OPENAI_API: 'responses', SORA_BACKGROUND: '1', SORA_LEASE: '2' }
    background = await Server.start({ env, workers: 2 })
  })
  afterAll(() => background.stop())

  it('are followed by others: the answers are whole', async () => {
    const watched = Array.from({ length: 4 }, () => watch(background.url))
    const ids = await Promise.all(watched.map(({ run }, at) => run.start('review', diary(`background ${at}`))))
    await Promise.all(watched.map(({ run }) => when(run, ({ text }) => text.length > 100)))
    await background.kill()
    const ends = await Promise.all(watched.map(({ run }) => settled(run)))
    const client = createClient({ baseUrl: background.url })
    for (const [at, { status, text }] of ends.entries()) {
      expect(status).toBe('completed')
      expect(text).toBe((await client.runs.show(ids[at] ?? '')).text)
    }
    expect(watched.every(({ states }) => states.some(({ status }) => status === 'reconnecting'))).toBe(true)
  })
})

describe('a server that is away', () => {
  it('is waited for, with the text on the screen', async () => {
    const { run } = watch()
    const id = await run.start('review', diary('away'))
    const { text } = await when(run, ({ text }) => text.length > 100)
    await server.down()
    const away = await when(run, ({ status }) => status === 'reconnecting')
    expect(away.text.startsWith(text)).toBe(true)
    expect(away.retryAt).toBeGreaterThan(Date.now() - 5000)
    await server.up()
    const state = await settled(run)
    expect(state.status).toBe('interrupted')
    expect(state.text).toBe(await kept(id))
  })

  it('gets a request once it is back, and only once', async () => {
    await server.down()
    const { run } = watch()
    const started = run.start('review', diary('later'))
    expect(await when(run, ({ status }) => status === 'reconnecting')).toMatchObject({ error: { code: 'network' } })
    await server.up()
    const id = await started
    const state = id === null ? await run.retry().then(() => settled(run)) : await settled(run)
    expect(state.status).toBe('completed')
    expect(await server.generations()).toHaveLength(1)
  })
})

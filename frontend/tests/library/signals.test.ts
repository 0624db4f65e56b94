import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { restore, setOnline, setVisible } from './dom'
import { createClient, Run, type RunState } from '../../src/sora'
import { block, delta, json, Scripted, started, stream, type Handler } from './scripted'
import { Server } from './server'
import { settled, when } from './settled'

const done = (seq: number) => block(seq, 'done', { finish_reason: 'stop' })

async function follow(handlers: Handler[]) {
  const server = new Scripted(handlers)
  const run = new Run(createClient({ baseUrl: await server.open() }))
  const states: RunState[] = []
  run.subscribe(() => states.push(run.getSnapshot()))
  run.attach('r')
  await when(run, ({ text }) => text !== '')
  return { server, run, states, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

beforeEach(() => {
  setOnline(true)
  setVisible(true)
})

describe('the network', () => {
  it('when it goes, that is said, and the text stays; when it is back, so is the answer, at once', async () => {
    await using at = await follow([stream([started, delta(0, 'a')], 'silence'), stream([delta(1, 'b'), done(4)])])
    setOnline(false)
    const away = await when(at.run, ({ status }) => status === 'offline')
    expect(away).toMatchObject({ text: 'a', error: null })
    setOnline(true)
    const began = Date.now()
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
    expect(Date.now() - began).toBeLessThan(400)
  })

  it('when there is none, a request waits for it', async () => {
    await using server = new Scripted([json(201, { id: 'r' }), stream([started, delta(0, 'a'), done(3)])])
    setOnline(false)
    const client = createClient({
      baseUrl: await server.open(),
      fetch: (...asked) => (navigator.onLine ? fetch(...asked) : Promise.reject(new TypeError('Failed to fetch'))),
    })
    const run = new Run(client)
    const start = run.start('chat', { message: '안녕' })
    expect(await when(run, ({ status }) => status === 'offline')).toMatchObject({ error: { code: 'network' } })
    setOnline(true)
    expect(await start).toBe('r')
    expect(await settled(run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(server.requests.map(({ method }) => method)).toEqual(['POST', 'GET'])
  })
})

describe('a page', () => {
  it('that comes back from the cache has a new connection', async () => {
    await using at = await follow([stream([started, delta(0, 'a')], 'silence'), stream([delta(1, 'b'), done(4)])])
    restore()
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
  })

  it('that is looked at again does not wait for the next try', async () => {
    const nobody: Handler = (_, response) => response.destroy()
    await using at = await follow([stream(['retry: 60000\n\n', started, delta(0, 'a')]), nobody, stream([delta(1, 'b'), done(4)])])
    await when(at.run, ({ status }) => status === 'reconnecting')
    setVisible(false)
    setVisible(true)
    await when(at.run, ({ attempt }) => attempt === 2)
    setVisible(true)
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
  })

  it('that was looked away from for a moment keeps its connection', async () => {
    await using at = await follow([stream([started, delta(0, 'a')], 'silence')])
    setVisible(false)
    setVisible(true)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(at.server.requests).toHaveLength(1)
    at.run.close()
  })
})

describe('what is drawn', () => {
  let server: Server

  beforeAll(async () => {
    server = await Server.start({ env: { SORA_MODEL: 'sim-million' }, workers: 1 })
  })
  afterAll(() => server.stop())

  it('is drawn once a frame, be it a million characters', async () => {
    const run = new Run(createClient({ baseUrl: server.url }))
    let drawn = 0
    run.subscribe(() => drawn++)
    await run.start('chat', { message: '길게' })
    const { text, status } = await settled(run)
    expect(status).toBe('completed')
    expect(Array.from(text)).toHaveLength(1_000_000)
    expect(drawn).toBeLessThan(1000) // there were 4,000 pieces
  })

  it('is drawn in a hidden tab too, which has no frames', async () => {
    const frame = globalThis.requestAnimationFrame
    globalThis.requestAnimationFrame = () => 1
    try {
      await using at = await follow([stream([started, delta(0, 'a')], 'silence')])
      expect(at.run.getSnapshot().text).toBe('a')
      at.run.close()
    } finally {
      globalThis.requestAnimationFrame = frame
    }
  })
})

import { describe, expect, it } from 'vitest'

import { createClient, Run, type RunOptions, type RunState } from '../../src/sora'
import { block, delta, json, Scripted, started, stream, type Handler } from './scripted'
import { settled, when } from './settled'

const done = (seq: number) => block(seq, 'done', { finish_reason: 'stop' })

async function follow(handlers: Handler[], options: RunOptions = {}) {
  const server = new Scripted(handlers)
  const run = new Run(createClient({ baseUrl: await server.open(), language: 'en' }), options)
  const states: RunState[] = []
  run.subscribe(() => states.push(run.getSnapshot()))
  run.attach('r')
  return { server, run, states, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

const cursors = (server: Scripted) => server.requests.map(({ headers }) => headers['last-event-id'])

describe('a stream', () => {
  it('that ends without a terminal event is gone on with, and is no success', async () => {
    await using at = await follow([
      stream([started, delta(0, 'a')]),
      stream([delta(1, 'b')], 'break'),
      stream([delta(2, 'c'), done(5)]),
    ])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'abc', finishReason: 'stop' })
    expect(cursors(at.server)).toEqual([undefined, 'r:1-2', 'r:1-3'])
    expect(at.server.requests.every(({ method }) => method === 'GET')).toBe(true)
    const between = at.states.filter(({ status }) => status === 'reconnecting')
    expect(between.map(({ text }) => text)).toEqual(['a', 'ab'])
    expect(between.map(({ attempt }) => attempt)).toEqual([1, 1]) // each try brought something
    expect(between.every(({ retryAt }) => retryAt !== null)).toBe(true)
  })

  it('that falls silent, heartbeats and all, is left for another one', async () => {
    await using at = await follow(
      [stream([started, delta(0, 'a')], 'silence'), stream([delta(1, 'b'), done(4)])],
      { silenceTimeout: 150 },
    )
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
    expect(cursors(at.server)).toEqual([undefined, 'r:1-2'])
  })

  it('that has heartbeats is not', async () => {
    const beats: Handler = (_, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream' })
      response.write(started)
      let left = 6
      const timer = setInterval(() => {
        if (left-- > 0) response.write('event: ping\ndata: {}\n\n')
        else {
          clearInterval(timer)
          response.end(delta(0, 'a') + done(3))
        }
      }, 60)
    }
    await using at = await follow([beats], { silenceTimeout: 200 })
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(at.server.requests).toHaveLength(1)
    expect(at.server.requests[0]?.url).toBe('/api/runs/r/events?heartbeat=event')
  })

  it('that does not begin is left for another one', async () => {
    const nothing: Handler = () => undefined
    await using at = await follow([nothing, stream([started, delta(0, 'a'), done(3)])], { connectTimeout: 100 })
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
  })

  it('says when to come again', async () => {
    await using at = await follow([stream(['retry: 900\n\n', started]), stream([delta(0, 'a'), done(3)])])
    const { retryAt } = await when(at.run, ({ status }) => status === 'reconnecting')
    expect((retryAt ?? 0) - Date.now()).toBeGreaterThan(800)
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
  })

  it('that takes something back drops it', async () => {
    await using at = await follow([
      stream([started, delta(0, 'a'), delta(1, 'x'), delta(2, 'y')]),
      stream([block(2, 'reset', { seq: 2 }, 2), block(3, 'delta', { index: 1, text: 'b' }, 2), block(4, 'done', {}, 2)]),
    ])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
    expect(cursors(at.server)).toEqual([undefined, 'r:1-4'])
  })

  it('that is told anew from what was saved is the whole text', async () => {
    await using at = await follow([
      stream([started, delta(0, 'a'), delta(1, 'b')]),
      stream(['event: reset\ndata: {"seq":0}\nid: r:2-0\n\n', block(7, 'delta', { index: 0, text: 'abc' }, 2), block(8, 'done', {}, 2)]),
    ])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'abc' })
  })

  it('that repeats itself is heard once', async () => {
    await using at = await follow([
      stream([started, delta(0, 'a'), delta(1, 'b')]),
      stream([started, delta(0, 'a'), delta(1, 'b'), delta(2, 'c'), done(5)]),
    ])
    expect((await settled(at.run)).text).toBe('abc')
  })

  it('with a hole is read anew, and when it stays, that is said', async () => {
    await using healed = await follow([
      stream([started, delta(0, 'a'), delta(2, 'c')]),
      stream([started, delta(0, 'a'), delta(1, 'b'), delta(2, 'c'), done(5)]),
    ])
    expect(await settled(healed.run)).toMatchObject({ status: 'completed', text: 'abc' })
    expect(cursors(healed.server)).toEqual([undefined, undefined])

    await using torn = await follow([stream([started, delta(0, 'a'), delta(2, 'c'), done(5)])])
    expect(await settled(torn.run)).toMatchObject({ status: 'failed', error: { code: 'bad_response' } })
  })

  it('of events that nobody knows yet is read past them', async () => {
    await using at = await follow([stream([started, block(2, 'mood', { a: 1 }), block(3, 'delta', { index: 0, text: 'a' }), done(4)])])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
  })

  it('of broken JSON is tried again', async () => {
    await using at = await follow([
      stream([started, 'event: delta\ndata: {"index":0,\nid: r:1-2\n\n']),
      stream([delta(0, 'a'), done(3)]),
    ])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(cursors(at.server)).toEqual([undefined, 'r:1-1'])
  })

  it('shows that it is being saved, and how it ended', async () => {
    const saving = { node: 'save', stage: 'saving', status: 'in_progress', message: 'Saving.' }
    await using at = await follow([stream([started, delta(0, 'a'), block(0, 'progress', saving)], 'silence')])
    expect(await when(at.run, ({ status }) => status === 'saving')).toMatchObject({ text: 'a' })
    at.run.close()
  })

  it.each([
    ['failed', { code: 'upstream_error', message: 'no', retryable: true }],
    ['interrupted', { code: 'interrupted', message: 'cut', retryable: true }],
  ])('that ends with an error is %s, with what had arrived', async (status, error) => {
    await using at = await follow([stream([started, delta(0, 'a'), block(3, 'error', error)])])
    const heard: string[] = []
    at.run.listen({ onError: ({ code }) => heard.push(code), onComplete: () => heard.push('complete') })
    expect(await settled(at.run)).toMatchObject({ status, text: 'a', error })
    await expect.poll(() => heard).toEqual([error.code])
  })
})

describe('a reader that is refused', () => {
  it('for good says why, and goes on where it was when that is over', async () => {
    await using at = await follow([
      stream([started, delta(0, 'a')]),
      json(401, { success: false, error: 'Please sign in.', code: 'unauthorized' }),
      stream([delta(1, 'b'), done(4)]),
    ])
    expect(await settled(at.run)).toMatchObject({ status: 'failed', text: 'a', error: { code: 'unauthorized', status: 401 } })
    expect(await at.run.retry()).toBe('r')
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
    expect(at.server.requests.every(({ method }) => method === 'GET')).toBe(true)
  })

  it('in mid-stream, its token having expired, does not start anything anew', async () => {
    const expired = block(0, 'error', { code: 'unauthorized', message: 'expired', retryable: true })
    await using at = await follow([stream([started, delta(0, 'a'), expired]), stream([delta(1, 'b'), done(4)])])
    expect(await settled(at.run)).toMatchObject({ status: 'failed', text: 'a', error: { code: 'unauthorized' } })
    await at.run.retry()
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
    expect(cursors(at.server)).toEqual([undefined, 'r:1-2'])
  })

  it('for now comes again when it may, and says why', async () => {
    const refusal = { success: false, error: 'The server is restarting.', code: 'draining' }
    await using at = await follow([json(503, refusal, { 'Retry-After': '1' }), stream([started, delta(0, 'a'), done(3)])])
    const state = await when(at.run, ({ status }) => status === 'reconnecting')
    expect(state.error).toMatchObject({ code: 'draining', message: 'The server is restarting.', retryAfter: 1 })
    expect((state.retryAt ?? 0) - Date.now()).toBeGreaterThan(700)
    expect(await settled(at.run)).toMatchObject({ status: 'completed', error: null })
  })

  it('by a proxy that has no server behind it comes again', async () => {
    const gateway: Handler = (_, response) => response.writeHead(502, { 'Content-Type': 'text/html' }).end('<h1>502</h1>')
    await using at = await follow([gateway, gateway, stream([started, delta(0, 'a'), done(3)])])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(at.states.map(({ attempt }) => attempt)).toContain(2)
  })

  it('again and again gives up, and can be told to go on', async () => {
    const nobody: Handler = (_, response) => response.destroy()
    await using at = await follow([nobody], { patience: 300 })
    expect(await settled(at.run)).toMatchObject({ status: 'failed', error: { code: 'connection_lost', retryable: true } })
  })

  it('with nothing asks how the run stands', async () => {
    const nothing: Handler = (_, response) => response.writeHead(204).end()
    const info = { id: 'r', status: 'completed', finish_reason: 'stop', ended_at: '2026-01-20', text: 'a', error: null }
    await using at = await follow([stream([started, delta(0, 'a')]), nothing, json(200, info)])
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })

    // It says that all was said, but we have not heard it: that is no success.
    await using less = await follow([stream([started, delta(0, 'a')]), nothing, json(200, { ...info, text: 'ab' }), nothing])
    expect(await settled(less.run)).toMatchObject({ status: 'failed', error: { code: 'connection_lost' } })
  })
})

describe('a look away', () => {
  it('leaves the connection, and goes on where it was', async () => {
    await using at = await follow([stream([started, delta(0, 'a')], 'silence'), stream([delta(1, 'b'), done(4)])])
    await when(at.run, ({ text }) => text === 'a')
    at.run.close()
    const before = at.states.length
    at.run.close()
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(at.states).toHaveLength(before)
    at.run.open()
    at.run.open()
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'ab' })
    expect(cursors(at.server)).toEqual([undefined, 'r:1-2'])
  })
})

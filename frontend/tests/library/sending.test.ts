import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'

import { createClient, Run, type RunOptions } from '../../src/sora'
import { block, delta, json, Scripted, started, stream, type Handler } from './scripted'
import { Server } from './server'
import { settled, when } from './settled'

const answer = stream([started, delta(0, 'a'), block(3, 'done', { finish_reason: 'stop' })])
const created = json(201, { id: 'r', status: 'running' })

async function against(handlers: Handler[], options: RunOptions = {}) {
  const server = new Scripted(handlers)
  const run = new Run(createClient({ baseUrl: await server.open(), language: 'en' }), options)
  return { server, run, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

const posts = (server: Scripted) => server.requests.filter(({ method }) => method === 'POST')
const keys = (server: Scripted) => posts(server).map(({ headers }) => headers['idempotency-key'])

describe('a request', () => {
  it('that got no answer is sent again, under its key', async () => {
    const broken: Handler = (_, response) => response.destroy()
    await using at = await against([broken, broken, created, answer])
    expect(await at.run.start('chat', { message: 'hi' })).toBe('r')
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(new Set(keys(at.server)).size).toBe(1)
    expect(posts(at.server)).toHaveLength(3)
  })

  it('that never gets one fails, and is sent again under its key when one wants that', async () => {
    const gateway: Handler = (_, response) => response.writeHead(502).end('bad gateway')
    await using at = await against([gateway, gateway, gateway, gateway, created, answer])
    const heard: string[] = []
    at.run.listen({ onError: ({ code }) => heard.push(code) })
    expect(await at.run.start('chat', { message: 'hi' })).toBeNull()
    expect(at.run.getSnapshot()).toMatchObject({ status: 'failed', runId: null, error: { code: 'unavailable', status: 502 } })
    await expect.poll(() => heard).toEqual(['unavailable'])
    expect(await at.run.retry()).toBe('r')
    expect(await settled(at.run)).toMatchObject({ status: 'completed', text: 'a' })
    expect(new Set(keys(at.server)).size).toBe(1)
  })

  it('to a server that is being replaced goes to the next one', async () => {
    const refusal = json(503, { success: false, error: 'Restarting.', code: 'draining' }, { 'Retry-After': '1' })
    await using at = await against([refusal, created, answer])
    const started = at.run.start('chat', { message: 'hi' })
    expect(await when(at.run, ({ status }) => status === 'reconnecting')).toMatchObject({
      error: { code: 'draining', retryAfter: 1 },
    })
    expect(await started).toBe('r')
  })

  it('too many is for the person to send again, and says when', async () => {
    const refusal = json(429, { success: false, error: 'Too many.', code: 'rate_limited' }, { 'Retry-After': '30' })
    await using at = await against([refusal])
    expect(await at.run.start('chat', { message: 'hi' })).toBeNull()
    const { status, error, retryAt } = at.run.getSnapshot()
    expect({ status, error }).toMatchObject({ status: 'failed', error: { code: 'rate_limited', retryable: true, retryAfter: 30 } })
    expect((retryAt ?? 0) - Date.now()).toBeGreaterThan(28_000)
    expect(posts(at.server)).toHaveLength(1)
  })

  it('that is wrong is not sent again, and says what is wrong', async () => {
    const details = [{ field: 'message', message: 'must not be empty.' }]
    await using at = await against([json(400, { success: false, error: 'Not valid.', code: 'invalid_request', details })])
    await at.run.start('chat', { message: '' })
    expect(at.run.getSnapshot()).toMatchObject({ status: 'failed', error: { code: 'invalid_request', retryable: false, details } })
    expect(posts(at.server)).toHaveLength(1)
  })

  it('that is stopped between two tries is not sent again', async () => {
    const broken: Handler = (_, response) => response.destroy()
    await using at = await against([broken])
    const started = at.run.start('chat', { message: 'hi' })
    await when(at.run, ({ status }) => status === 'reconnecting')
    await at.run.stop()
    expect(await started).toBeNull()
    expect(at.run.getSnapshot().status).toBe('cancelled')
    expect(posts(at.server)).toHaveLength(1)
  })

  it('that is stopped on its way is cancelled as soon as it has a name', async () => {
    const late: Handler = (request, response) => setTimeout(() => created(request, response), 150)
    const cancelled = stream([started, block(2, 'cancelled', {})])
    await using at = await against([late, (request, response) => (request.method === 'POST' ? created : cancelled)(request, response)])
    const start = at.run.start('chat', { message: 'hi' })
    await at.run.stop()
    expect(await start).toBe('r')
    expect(await settled(at.run)).toMatchObject({ status: 'cancelled' })
    expect(posts(at.server).map(({ url }) => url)).toEqual(['/api/runs', '/api/runs/r/cancel'])
  })

  it('that takes longer than one has time for is stopped, and is a timeout', async () => {
    const waits = stream([started], 'silence')
    const ends = stream([started, block(2, 'cancelled', {})])
    let cancelled = false
    await using at = await against(
      [
        (request, response) => {
          if (request.url?.endsWith('/cancel')) {
            cancelled = true
            json(200, { id: 'r' })(request, response)
          } else if (request.method === 'POST') created(request, response)
          else (cancelled ? ends : waits)(request, response)
        },
      ],
      { timeout: 150, silenceTimeout: 300 },
    )
    await at.run.start('chat', { message: 'hi' })
    expect(await settled(at.run)).toMatchObject({ status: 'failed', error: { code: 'timeout', retryable: true } })
    expect(cancelled).toBe(true)
  })

  it('is forgotten by a reset, and its answer comes too late', async () => {
    const late: Handler = (request, response) => setTimeout(() => created(request, response), 100)
    await using at = await against([late, answer])
    const start = at.run.start('chat', { message: 'hi' })
    at.run.reset()
    expect(at.run.getSnapshot().status).toBe('idle')
    await start
    expect(at.run.getSnapshot()).toMatchObject({ status: 'idle', runId: null })
    expect(at.server.requests).toHaveLength(1)
  })
})

describe('refusals of the server itself', () => {
  let server: Server
  const client = () => createClient({ baseUrl: server.url, language: 'ko' })

  beforeAll(async () => {
    server = await Server.start({
      env: { SORA_MODEL: 'sim-n200-d20', SORA_MAX_RUNS_PER_PRINCIPAL: '2' },
      workers: 1,
    })
  })
  afterAll(() => server.stop())
  beforeEach(() => server.forget())

  it('one answer at a time in a conversation; the one under way can be looked at', async () => {
    const [first, second] = [new Run(client()), new Run(client())]
    const id = await first.start('chat', { message: '안녕', conversation_id: '하나' })
    expect(await second.start('chat', { message: '또', conversation_id: '하나' })).toBeNull()
    expect(second.getSnapshot()).toMatchObject({
      status: 'failed',
      error: { code: 'conversation_busy', status: 409, retryable: true, message: '이 대화에서 아직 답변이 진행 중입니다.' },
    })
    const { runId } = await client().conversations.show('하나')
    expect(runId).toBe(id)
    second.attach(runId ?? '')
    await when(second, ({ text }) => text !== '')
    await second.stop()
    expect((await settled(first)).status).toBe('cancelled')
    expect((await settled(second)).text).toBe(first.getSnapshot().text)
    const { items } = await client().conversations.messages('하나')
    expect(items.map(({ role, status }) => [role, status])).toEqual([
      ['user', expect.anything()],
      ['assistant', 'cancelled'],
    ])
    expect(await server.generations()).toHaveLength(1)
  })

  it('too many at once; when one has ended the same request is taken', async () => {
    const runs = [new Run(client()), new Run(client()), new Run(client())]
    for (const run of runs) await run.start('chat', { message: '많이' })
    const [first, , third] = runs
    expect(third?.getSnapshot()).toMatchObject({ status: 'failed', error: { code: 'too_many_runs', status: 429 } })
    expect(third?.getSnapshot().error?.retryAfter).toBeGreaterThan(0)
    const asked = (run: Run) => when(run, ({ text }) => text !== '') // a run stopped sooner may not have asked the model yet
    if (first) await asked(first)
    await first?.stop()
    if (first) await settled(first)
    expect(await third?.retry()).not.toBeNull()
    for (const run of runs) {
      await asked(run)
      await run.stop()
      await settled(run)
    }
    expect(await server.generations()).toHaveLength(3)
  })

  it('what is wrong with a field, in words', async () => {
    const run = new Run(client())
    await run.start('review', { body: ' ', type: 'F', reviewDate: '2026-02-30' })
    const { error } = run.getSnapshot()
    expect(error).toMatchObject({ code: 'invalid_request', status: 400 })
    expect(error?.details.map(({ field }) => field)).toEqual(expect.arrayContaining(['input.body', 'input.reviewDate']))
  })

  it('files that cannot be read', async () => {
    const run = new Run(client())
    await run.start('ask', { question: '뭐야?', files: [new File([new Uint8Array([0x89, 0x50, 0, 1])], 'a.exe')] })
    expect(run.getSnapshot()).toMatchObject({ status: 'failed', error: { code: 'unsupported_media_type', status: 415 } })
  })
})

import { describe, expect, it } from 'vitest'

import { Answer } from '../../src/sora/answer'
import { delayOf } from '../../src/sora/backoff'
import { cursorOf, idOf } from '../../src/sora/cursor'
import { errorFrom, secondsOf } from '../../src/sora/errors'
import { Rope } from '../../src/sora/rope'
import { seeded } from './random'

describe('a rope', () => {
  it('is the text of its pieces, whatever is taken back and asked between', () => {
    const random = seeded(3)
    for (let trial = 0; trial < 100; trial++) {
      const rope = new Rope()
      let pieces: [number, string][] = []
      let seq = 0
      for (let step = 0; step < 60; step++) {
        const dice = random()
        if (dice < 0.75) {
          seq += Math.ceil(random() * 3)
          const piece = ['가', '', '😀', 'abc', '\n'][Math.floor(random() * 5)] ?? ''
          pieces.push([seq, piece])
          rope.append(seq, piece)
        } else if (dice < 0.85) {
          const back = Math.floor(random() * (seq + 2))
          pieces = pieces.filter(([at]) => at <= back)
          seq = Math.min(seq, back)
          rope.rewind(back)
        } else {
          expect(rope.toString()).toBe(pieces.map(([, piece]) => piece).join(''))
        }
      }
      expect(rope.toString()).toBe(pieces.map(([, piece]) => piece).join(''))
      expect(rope.size).toBe(pieces.length)
    }
  })

  it('takes a million pieces, asked for now and then, in no time', () => {
    const rope = new Rope()
    const began = performance.now()
    for (let seq = 1; seq <= 1_000_000; seq++) {
      rope.append(seq, '가')
      if (seq % 1000 === 0) expect(rope.toString().length).toBe(seq)
    }
    expect(performance.now() - began).toBeLessThan(5000) // quadratic, it would be minutes
  })
})

describe('an answer', () => {
  const progress = (stage: string, status: 'in_progress' | 'completed') =>
    ({ type: 'progress', node: 'n', stage, status, message: `${stage} ${status}` }) as const

  it('is what its events amount to, and takes any of them back', () => {
    const answer = new Answer()
    answer.add(1, { type: 'started', kind: 'ask' })
    answer.add(2, progress('read', 'in_progress'))
    answer.add(3, progress('write', 'in_progress'))
    answer.add(4, { type: 'delta', index: 0, text: '안녕' })
    answer.add(5, progress('read', 'completed'))
    answer.add(6, { type: 'reasoning', text: '음' })
    answer.add(7, { type: 'delta', index: 1, text: '하세요' })
    answer.add(8, { type: 'source', url: 'https://a', title: 'A' })
    answer.add(9, { type: 'metadata', data: { model: 'm' } })
    answer.add(10, { type: 'usage', input_tokens: 1, output_tokens: 2, total_tokens: 3 })
    expect(answer.deltas).toBe(2)
    expect(answer.shape()).toEqual({
      text: '안녕하세요',
      reasoning: '음',
      progress: [
        { node: 'n', stage: 'read', status: 'completed', message: 'read completed' },
        { node: 'n', stage: 'write', status: 'in_progress', message: 'write in_progress' },
      ],
      sources: [{ url: 'https://a', title: 'A' }],
      metadata: { model: 'm' },
      result: null,
      usage: { input_tokens: 1, output_tokens: 2, total_tokens: 3 },
    })
    answer.rewind(4)
    expect(answer.deltas).toBe(1)
    expect(answer.shape()).toMatchObject({ text: '안녕', reasoning: '', sources: [], metadata: null, usage: null })
    expect(answer.shape().progress[0]?.status).toBe('in_progress')
    answer.add(5, { type: 'delta', index: 1, text: '!' })
    expect(answer.shape().text).toBe('안녕!')
    answer.rewind(0)
    expect(answer.shape()).toMatchObject({ text: '', progress: [] })
  })
})

describe('the wait before another try', () => {
  it('doubles up to 15 s, half of it by chance', () => {
    const longest = (attempt: number) => delayOf({ attempt }, () => 1)
    expect([1, 2, 3, 4, 5, 6, 7, 99].map(longest)).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000])
    expect(delayOf({ attempt: 2 }, () => 0)).toBe(500)
  })

  it('is never less than the server says', () => {
    expect(delayOf({ attempt: 1, retry: 3000 }, () => 0)).toBe(3000)
    expect(delayOf({ attempt: 1, retryAfter: 7 }, () => 1)).toBe(7000)
    expect(delayOf({ attempt: 9, retry: 60_000 }, () => 0)).toBe(60_000)
  })
})

describe('what stands in a response', () => {
  it('an event id is a cursor, and nothing else is', () => {
    expect(cursorOf('aB3:2-17')).toEqual({ runId: 'aB3', epoch: 2, seq: 17 })
    expect(idOf({ runId: 'aB3', epoch: 2, seq: 17 })).toBe('aB3:2-17')
    for (const id of [undefined, '', 'aB3:end', 'aB3:2', '가:1-1', 'a:1-1 ']) expect(cursorOf(id)).toBeNull()
  })

  it('Retry-After is seconds or a date', () => {
    expect(secondsOf('7')).toBe(7)
    expect(secondsOf(new Date(Date.now() + 10_000).toUTCString())).toBeGreaterThan(7)
    expect(secondsOf(new Date(0).toUTCString())).toBe(0)
    for (const header of [null, '', 'soon']) expect(secondsOf(header)).toBeUndefined()
  })

  it('an error is in the words of Sora, or of whoever answered for it', () => {
    const body = JSON.stringify({ success: false, error: '바쁨', code: 'draining', details: [{ field: 'a', message: 'b' }] })
    expect(errorFrom(503, body, 5, 'ko')).toMatchObject({
      code: 'draining', message: '바쁨', retryable: true, status: 503, retryAfter: 5, details: [{ field: 'a', message: 'b' }],
    })
    expect(errorFrom(409, '{"code":"conversation_busy","error":"x"}', undefined, 'ko').retryable).toBe(true)
    expect(errorFrom(409, '{"code":"conflict","error":"x"}', undefined, 'ko').retryable).toBe(false)
    expect(errorFrom(502, '<html>Bad Gateway</html>', undefined, 'en')).toMatchObject({ code: 'unavailable', retryable: true })
    expect(errorFrom(413, '<html>', undefined, 'en')).toMatchObject({ code: 'bad_response', retryable: false, status: 413 })
    expect(errorFrom(400, '"text"', undefined, 'en').code).toBe('bad_response')
    expect(errorFrom(400, 'null', undefined, 'en').code).toBe('bad_response')
  })
})

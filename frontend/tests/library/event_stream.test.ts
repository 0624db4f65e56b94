import { describe, expect, it } from 'vitest'

import { EventStreamDecoder, readEventStream, type StreamMessage } from '../../src/sora/event_stream'
import { seeded } from './random'

const encoder = new TextEncoder()

function decode(...pieces: (string | Uint8Array)[]) {
  const messages: StreamMessage[] = []
  const retries: number[] = []
  const decoder = new EventStreamDecoder({
    onMessage: (message) => messages.push(message),
    onRetry: (ms) => retries.push(ms),
  })
  for (const piece of pieces) decoder.push(typeof piece === 'string' ? encoder.encode(piece) : piece)
  return { messages, retries, data: messages.map(({ data }) => data) }
}

describe('the rules of the WHATWG for event streams', () => {
  it.each([
    ['LF', 'data: a\n\ndata: b\n\n', ['a', 'b']],
    ['CRLF', 'data: a\r\n\r\ndata: b\r\n\r\n', ['a', 'b']],
    ['CR', 'data: a\r\rdata: b\r\r:\n', ['a', 'b']],
    ['line ends of all kinds', 'data: a\r\ndata: b\rdata: c\n\r\n', ['a\nb\nc']],
    ['a BOM, once', '\ufeffdata: a\n\n', ['a']],
    ['a second BOM, which makes another field', '\ufeff\ufeffdata: a\n\ndata: b\n\n', ['b']],
    ['comments', ': hello\n\n:\ndata: a\n: between\ndata: b\n\n', ['a\nb']],
    ['several lines of data', 'data: a\ndata:\ndata: b\n\n', ['a\n\nb']],
    ['data without a colon', 'data\n\ndata\ndata\n\n', ['', '\n']],
    ['one space after the colon, no more', 'data:a\n\ndata: a\n\ndata:  a\n\n', ['a', 'a', ' a']],
    ['a colon in the value', 'data: a: b\n\n', ['a: b']],
    ['fields that nobody knows', 'dota: x\nDATA: x\n data: x\ndata: a\n\n', ['a']],
    ['events without data, which are none', 'event: x\n\nid: 1\n\ndata: a\n\n', ['a']],
    ['an end without a blank line, which is none', 'data: a\n\ndata: b\n', ['a']],
    ['U+2028 and U+0085, which end no line', 'data: a\u2028b\u0085c\n\n', ['a\u2028b\u0085c']],
    ['NUL in data', 'data: a\0b\n\n', ['a\0b']],
  ])('hold for %s', (_, stream, expected) => {
    expect(decode(stream).data).toEqual(expected)
  })

  it('hold for the names of events', () => {
    const { messages } = decode('event: ping\ndata: 1\n\ndata: 2\n\nevent: x\nevent:\ndata: 3\n\nevent:y\ndata: 4\n\n')
    expect(messages.map(({ event }) => event)).toEqual(['ping', 'message', 'message', 'y'])
  })

  it('hold for ids', () => {
    const { messages } = decode(
      'data: 1\nid: a:1-2\n\n',
      'data: 2\n\n', // none of its own
      'id: x\nid\ndata: 3\n\n', // emptied
      'id: b\nid: c\0d\ndata: 4\n\n', // with a NUL it is not one
      'id:  e\ndata: 5\n\n',
    )
    expect(messages.map(({ id }) => id)).toEqual(['a:1-2', undefined, '', 'b', ' e'])
  })

  it('hold for retry, which is digits', () => {
    const stream = 'retry: 1500\n\nretry: 1e3\nretry: -1\nretry: 1.5\nretry:\nretry\nretry: 9 \nretry: ٣\n\nretry:0\n\n'
    expect(decode(stream).retries).toEqual([1500, 0])
  })

  it('hold for bytes that are no UTF-8', () => {
    expect(decode(new Uint8Array([...encoder.encode('data: a'), 0xff, ...encoder.encode('b\n\n')])).data).toEqual(['a\ufffdb'])
  })

  it('hold wherever the bytes are cut: in a character of four bytes, a CRLF, the BOM', () => {
    const stream = encoder.encode('\ufeffevent: delta\r\ndata: {"text":"가😀각"}\r\nid: r:1-2\r\n\r\ndata: é\n\n: 끝\n\n')
    const whole = decode(stream).messages
    expect(whole).toEqual([
      { event: 'delta', data: '{"text":"가😀각"}', id: 'r:1-2' },
      { event: 'message', data: 'é', id: undefined },
    ])
    for (let at = 0; at <= stream.length; at++) {
      expect(decode(stream.slice(0, at), stream.slice(at)).messages).toEqual(whole)
    }
    expect(decode(...Array.from(stream, (byte) => new Uint8Array([byte]))).messages).toEqual(whole)
    const random = seeded(7)
    for (let trial = 0; trial < 200; trial++) {
      const pieces: Uint8Array[] = []
      for (let at = 0; at < stream.length; ) {
        const next = at + Math.ceil(random() * 9)
        pieces.push(stream.slice(at, next))
        at = next
      }
      expect(decode(...pieces).messages).toEqual(whole)
    }
  })
})

describe('a body', () => {
  it('is let go of when a message is too much for its listener', async () => {
    let cancelled = false
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(encoder.encode('data: a\n\n')),
      cancel: () => {
        cancelled = true
      },
    })
    const broken = readEventStream(body, {
      onMessage: () => {
        throw new Error('no')
      },
    })
    await expect(broken).rejects.toThrow('no')
    expect(cancelled).toBe(true)
  })

  it('tells of every byte, a heartbeat too', async () => {
    const seen: string[] = []
    const body = new Blob([': heartbeat\n\n']).stream()
    await readEventStream(body, { onMessage: () => seen.push('message'), onActivity: () => seen.push('bytes') })
    expect(seen).toEqual(['bytes'])
  })
})

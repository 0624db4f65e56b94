import { createParser } from 'eventsource-parser'

export interface StreamMessage {
  /** `message` where the stream names no other. */
  event: string
  data: string
  /** The id that came with this very message; undefined where it brought none. */
  id: string | undefined
}

export interface StreamListener {
  onMessage: (message: StreamMessage) => void
  /** The server's `retry:`, in ms. */
  onRetry?: (ms: number) => void
  /** Bytes have come, a comment or a part of a message too. */
  onActivity?: () => void
}

/**
 * Bytes of an event stream, in pieces cut anywhere, become messages by the WHATWG's rules. One decoder reads the whole stream, so that a
 * character may be split over two pieces. What is not ended by a blank line is not a message.
 */
export class EventStreamDecoder {
  readonly #decoder = new TextDecoder() // takes a BOM away, once
  readonly #parser

  constructor({ onMessage, onRetry }: StreamListener) {
    this.#parser = createParser({
      onEvent: ({ event, data, id }) => onMessage({ event: event ?? 'message', data, id }),
      ...(onRetry ? { onRetry } : {}),
    })
  }

  push(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true })
    if (text !== '') this.#parser.feed(text)
  }
}

/** Reads a body to its end, which alone says nothing about success. Rejects as the body's reader does. */
export async function readEventStream(
  body: ReadableStream<Uint8Array>,
  listener: StreamListener,
): Promise<void> {
  const decoder = new EventStreamDecoder(listener)
  const reader = body.getReader()
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      listener.onActivity?.()
      decoder.push(value)
    }
  } finally {
    // A listener that throws leaves the body behind: nobody reads on.
    void reader.cancel().catch(() => undefined)
  }
}

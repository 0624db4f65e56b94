const ID = /^([0-9A-Za-z]+):(\d+)-(\d+)$/

/** How far into a run's events one has come: everything up to `seq`, as of `epoch`. */
export interface Cursor {
  runId: string
  epoch: number
  seq: number
}

/** The cursor that an event id (`<run>:<epoch>-<seq>`) is; null for another text. */
export function cursorOf(id: string | undefined): Cursor | null {
  const match = id === undefined ? null : ID.exec(id)
  if (!match) return null
  const [, runId = '', epoch, seq] = match
  return { runId, epoch: Number(epoch), seq: Number(seq) }
}

export function idOf(cursor: Cursor): string {
  return `${cursor.runId}:${cursor.epoch}-${cursor.seq}`
}

const FIRST = 500
const LONGEST = 15_000

export interface Wait {
  /** How many tries failed in a row, this one included. */
  attempt: number
  /** What the stream's `retry:` said, in ms: no try comes sooner. */
  retry?: number | undefined
  /** What the refusal's Retry-After said, in seconds: no try comes sooner. */
  retryAfter?: number | undefined
}

/** ms until the next try: doubled each time, up to 15 s; half of it is jitter, so that many clients do not come at once. */
export function delayOf(
  { attempt, retry = 0, retryAfter = 0 }: Wait,
  random: () => number = Math.random,
): number {
  const full = Math.min(LONGEST, Math.max(FIRST, retry) * 2 ** Math.min(attempt - 1, 10))
  return Math.max(full / 2 + (full / 2) * random(), retry, retryAfter * 1000)
}

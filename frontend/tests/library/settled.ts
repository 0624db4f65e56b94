import { isActive, type Run, type RunState } from '../../src/sora'

/** Resolves with the first state that `holds`, the present one too. */
export function when(run: Run, holds: (state: RunState) => boolean): Promise<RunState> {
  return new Promise((resolve) => {
    let off: (() => void) | null = null
    const look = () => {
      const state = run.getSnapshot()
      if (!holds(state)) return
      off?.()
      resolve(state)
    }
    off = run.subscribe(look)
    look()
  })
}

/** The state in which nothing is under way any more. */
export function settled(run: Run): Promise<RunState> {
  return when(run, (state) => state.status !== 'idle' && !isActive(state))
}

const HIDDEN = 200

/** Calls `draw` once, with the next frame; in a hidden tab, where there are none, after 200 ms. Returns what calls it off. */
export function onNextFrame(draw: () => void): () => void {
  let frame: number | undefined
  const call = () => {
    cancel()
    draw()
  }
  const timer = setTimeout(call, HIDDEN)
  if (typeof requestAnimationFrame === 'function') frame = requestAnimationFrame(call)
  function cancel() {
    clearTimeout(timer)
    if (frame !== undefined) cancelAnimationFrame(frame)
  }
  return cancel
}

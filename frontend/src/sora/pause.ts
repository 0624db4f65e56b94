/** A wait that can be cut short, one at a time. */
export class Pause {
  #end: (() => void) | null = null

  /** Resolves after `ms`, or at the next `cut`. */
  async wait(ms: number): Promise<void> {
    this.cut()
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#end = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    this.#end = null
  }

  cut(): void {
    this.#end?.()
  }
}

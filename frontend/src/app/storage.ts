/** What a browser keeps for the page; one that may not keep anything remembers until the page is left. */
class Kept {
  readonly #fallback = new Map<string, string>()
  readonly #storage: () => Storage

  constructor(storage: () => Storage) {
    this.#storage = storage
  }

  get(key: string): string | null {
    try {
      return this.#storage().getItem(named(key))
    } catch {
      return this.#fallback.get(key) ?? null
    }
  }

  set(key: string, value: string | null): void {
    try {
      if (value === null) this.#storage().removeItem(named(key))
      else this.#storage().setItem(named(key), value)
    } catch {
      if (value === null) this.#fallback.delete(key)
      else this.#fallback.set(key, value)
    }
  }
}

function named(key: string): string {
  return `sora:${key}`
}

/** For this browser. */
export const local = new Kept(() => localStorage)
/** For this tab. */
export const tab = new Kept(() => sessionStorage)

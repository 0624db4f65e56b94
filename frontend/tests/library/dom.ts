import { Window } from 'happy-dom'

/**
 * A page for React, and nothing more: fetch, streams and AbortController stay Node's own, which can talk to a real server. Import it
 * before React.
 */
export const page = new Window({ url: 'http://localhost/' })

const NAMES = [
  ...['document', 'navigator', 'location', 'Node', 'Element', 'HTMLElement', 'HTMLIFrameElement', 'HTMLInputElement'],
  ...['HTMLTextAreaElement', 'HTMLSelectElement', 'HTMLFormElement', 'SVGElement', 'DocumentFragment', 'MutationObserver'],
  ...['getComputedStyle', 'requestAnimationFrame', 'cancelAnimationFrame'],
] as const

const lent = page as unknown as Record<string, unknown>
for (const name of NAMES) {
  const value = lent[name]
  const isClass = name.startsWith(name.charAt(0).toUpperCase())
  give(name, typeof value === 'function' && !isClass ? Function.prototype.bind.call(value, page) : value)
}
give('window', page)
give(
  'FormData',
  /** Node's, which fetch can send, made of a form. */
  class extends FormData {
    constructor(form?: HTMLFormElement) {
      super()
      const fields = form ? new page.FormData(form as never) : []
      for (const [name, value] of fields) if (typeof value === 'string') this.append(name, value)
    }
  },
)

function give(name: string, value: unknown): void {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true })
}

/** What the browser would say of its network. */
export function setOnline(online: boolean): void {
  Object.defineProperty(navigator, 'onLine', { value: online, configurable: true })
  page.dispatchEvent(new page.Event(online ? 'online' : 'offline'))
}

/** The page is hidden, or shown again. */
export function setVisible(visible: boolean): void {
  Object.defineProperty(document, 'visibilityState', { value: visible ? 'visible' : 'hidden', configurable: true })
  page.document.dispatchEvent(new page.Event('visibilitychange'))
}

/** The page comes back from the back/forward cache. */
export function restore(): void {
  page.dispatchEvent(Object.assign(new page.Event('pageshow'), { persisted: true }))
}

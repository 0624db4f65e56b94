import { createContext } from 'react'

/** Where menus go: what is modal covers everything outside of itself. Null for the page. */
export const Layer = createContext<HTMLElement | null>(null)

import { useState } from 'react'
import { useLocation, useSearchParams } from 'wouter'

import { newId } from '../../sora'

export interface Name {
  name: string
  /** Whether it stands in the address: the server may know it. */
  kept: boolean
  /** Puts it into the address. */
  keep: () => void
  go: (name: string | null) => void
}

/** What the conversation in the address is called, else a new name. The pages tell their conversations apart by its beginning. */
export function useName(page: string): Name {
  const [params, setParams] = useSearchParams()
  const [, go] = useLocation()
  const given = params.get('c')
  const [fresh, setFresh] = useState(() => ({ given, name: made(page) }))
  if (fresh.given !== given) setFresh({ given, name: made(page) })
  const name = given ?? fresh.name
  return {
    name,
    kept: given !== null,
    keep: () => {
      if (given === null) setParams({ c: name }, { replace: true })
    },
    go: (other) => {
      if (other === null && given === null) setFresh({ given, name: made(page) })
      go(other === null ? `/${page}` : `/${page}?c=${encodeURIComponent(other)}`)
    },
  }
}

function made(page: string): string {
  return `${page}-${newId()}`
}

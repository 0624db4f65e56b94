import { createContext, use, useCallback, useEffect, useMemo, useState, type ReactNode } from 'react'

import { SoraError, useSora, type Session } from '../sora'

interface Who {
  /** Null until it is known, and for nobody. */
  session: Session | null
  /** Whether the server wants to know who one is before anything else. */
  signedOut: boolean
  /** To be told of every error: one of them says that the session is over. */
  noticed: (error: unknown) => void
  signIn: (token: string) => Promise<void>
  signOut: () => Promise<void>
}

const Context = createContext<Who | null>(null)

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useSora()
  const [session, setSession] = useState<Session | null>(null)
  const [signedOut, setSignedOut] = useState(false)

  const noticed = useCallback((error: unknown) => {
    if (error instanceof SoraError && error.code === 'unauthorized') setSignedOut(true)
  }, [])

  const entered = useCallback((found: Session) => {
    setSession(found)
    setSignedOut(false)
  }, [])

  useEffect(() => {
    const look = () => {
      if (document.visibilityState === 'visible') client.session.show().then(entered, noticed)
    }
    look()
    // Who has signed in elsewhere comes back to a page that goes on.
    document.addEventListener('visibilitychange', look)
    return () => document.removeEventListener('visibilitychange', look)
  }, [client, entered, noticed])

  const who = useMemo(
    () => ({
      session,
      signedOut,
      noticed,
      signIn: async (token: string) => entered(await client.session.signIn(token)),
      signOut: async () => {
        await client.session.signOut()
        location.reload()
      },
    }),
    [client, session, signedOut, entered, noticed],
  )
  return <Context value={who}>{children}</Context>
}

export function useSession(): Who {
  const who = use(Context)
  if (!who) throw new Error('useSession needs a SessionProvider')
  return who
}

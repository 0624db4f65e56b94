import { Toast } from 'radix-ui'
import { createContext, use, useCallback, useRef, useState, type ReactNode } from 'react'

import css from './Toasts.module.css'

const Context = createContext<(text: string) => void>(() => undefined)

/** Short words about what was just done, which go away by themselves. */
export function Toasts({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<{ id: number; text: string }[]>([])
  const next = useRef(0)
  const show = useCallback((text: string) => {
    const id = next.current++
    setShown((before) => [...before.slice(-2), { id, text }])
  }, [])
  return (
    <Context value={show}>
      <Toast.Provider duration={3500} swipeDirection="down">
        {children}
        {shown.map(({ id, text }) => (
          <Toast.Root
            key={id}
            className={css.toast}
            onOpenChange={(open) => {
              if (!open) setShown((before) => before.filter((one) => one.id !== id))
            }}
          >
            <Toast.Description>{text}</Toast.Description>
          </Toast.Root>
        ))}
        <Toast.Viewport className={css.place} />
      </Toast.Provider>
    </Context>
  )
}

export function useToast(): (text: string) => void {
  return use(Context)
}

import { Button } from '../ui/Button'
import { Alert } from './RunNote'
import { useWords } from './settings'
import { words } from './words'

/** In the place of what could not be loaded. */
export function NotLoaded({ error, onRetry }: { error: unknown; onRetry: () => void }) {
  const w = useWords(words)
  return (
    <Alert text={error instanceof Error ? error.message : w.failedToLoad}>
      <Button onClick={onRetry}>{w.again}</Button>
    </Alert>
  )
}

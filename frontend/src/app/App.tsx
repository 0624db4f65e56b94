import { lazy, Suspense, useMemo, type ReactNode } from 'react'
import { Redirect, Route, Router, Switch, useLocation } from 'wouter'

import { createClient, SoraProvider } from '../sora'
import { Button } from '../ui/Button'
import { Note } from '../ui/Note'
import { Toasts } from '../ui/Toasts'
import { Announcer } from './announce'
import { Boundary } from './Boundary'
import { prefix } from './place'
import { SessionProvider, useSession } from './session'
import { SettingsProvider, useSettings, useWords } from './settings'
import { Shell } from './Shell'
import { SignIn } from './SignIn'
import { words } from './words'

const Diary = lazy(() => import('../pages/diary/Diary'))
const Chat = lazy(() => import('../pages/chat/Chat'))
const Ask = lazy(() => import('../pages/ask/Ask'))
const Agent = lazy(() => import('../pages/agent/Agent'))
const Document = lazy(() => import('../pages/documents/Document'))

export function App() {
  return (
    <SettingsProvider>
      <Connected>
        <SessionProvider>
          <Announcer>
            <Toasts>
              <Router base={`${prefix}/app`}>
                <Shell>
                  <Pages />
                </Shell>
              </Router>
            </Toasts>
          </Announcer>
        </SessionProvider>
      </Connected>
    </SettingsProvider>
  )
}

function Connected({ children }: { children: ReactNode }) {
  const { language } = useSettings()
  const client = useMemo(() => createClient({ baseUrl: prefix, language }), [language])
  return <SoraProvider client={client}>{children}</SoraProvider>
}

function Pages() {
  const w = useWords(words)
  const { signedOut } = useSession()
  const [path] = useLocation()
  const { language } = useSettings()
  const broken = (
    <Note title={w.broken}>
      <Button onClick={() => location.reload()}>{w.reload}</Button>
    </Note>
  )
  if (signedOut) return <SignIn />
  return (
    // Another language is another client: the page begins anew with it, and finds the run that is under way.
    <Boundary key={`${path} ${language}`} fallback={broken}>
      <Suspense fallback={null}>
        <Switch>
          <Route path="/">
            <Redirect to="/diary" replace />
          </Route>
          <Route path="/diary" component={Diary} />
          <Route path="/chat" component={Chat} />
          <Route path="/ask" component={Ask} />
          <Route path="/agent" component={Agent} />
          <Route path="/documents/:id">{({ id }) => <Document key={id} id={id} />}</Route>
          <Route>
            <Note title={w.notFound}>
              <Button onClick={() => location.assign(`${prefix}/app/diary`)}>{w.toDiary}</Button>
            </Note>
          </Route>
        </Switch>
      </Suspense>
    </Boundary>
  )
}

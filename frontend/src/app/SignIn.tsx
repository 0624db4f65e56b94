import { useState, type SyntheticEvent } from 'react'

import { SoraError } from '../sora'
import { Button, LinkButton } from '../ui/Button'
import { Mark } from '../ui/Mark'
import { loginUrl } from './place'
import { useSession } from './session'
import { useWords } from './settings'
import css from './SignIn.module.css'
import { words } from './words'

/** For who has to sign in: the link to where that is done, else a field for a token. */
export function SignIn() {
  const w = useWords(words)
  return (
    <div className={css.page}>
      <span className={css.mark}>
        <Mark size={52} />
      </span>
      <h1>{w.signedOut}</h1>
      <p>{loginUrl ? w.signedOutWhy : w.tokenWhy}</p>
      {loginUrl ? (
        <LinkButton look="main" className={css.action} href={loginUrl}>
          {w.signIn}
        </LinkButton>
      ) : (
        <TokenField />
      )}
    </div>
  )
}

function TokenField() {
  const w = useWords(words)
  const { signIn } = useSession()
  const [token, setToken] = useState('')
  const [wrong, setWrong] = useState('')

  const submit = (event: SyntheticEvent) => {
    event.preventDefault()
    setWrong('')
    signIn(token.trim()).catch((error: unknown) => setWrong(error instanceof SoraError ? error.message : String(error)))
  }

  return (
    <>
      <form onSubmit={submit}>
        <input
          type="password"
          aria-label={w.token}
          placeholder={w.token}
          autoComplete="off"
          required
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
        <Button look="main" type="submit">
          {w.enter}
        </Button>
      </form>
      {wrong && (
        <p role="alert" className={css.bad}>
          {wrong}
        </p>
      )}
    </>
  )
}

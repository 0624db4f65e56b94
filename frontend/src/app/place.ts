/** What the server tells the page of itself: where it is mounted, and where people sign in. */
function told(name: string): string {
  return document.querySelector<HTMLMetaElement>(`meta[name="sora-${name}"]`)?.content ?? ''
}

/** In front of every URL of Sora's, the app's (/app/…) and the API's (/api/…): '' or, in a host application, such as '/ai'. */
export const prefix = told('prefix')

/** The app's page of a document, below /app, for the URL by which an answer refers to it; null for another URL. */
export function documentPage(url: string): string | null {
  const [, id] = /^\/api\/documents\/([\w-]+)$/.exec(url.startsWith(`${prefix}/`) ? url.slice(prefix.length) : url) ?? []
  return id === undefined ? null : `/documents/${id}`
}

/** Where people sign in; '' when there is no such place, and they have a token. */
export const loginUrl = told('login')

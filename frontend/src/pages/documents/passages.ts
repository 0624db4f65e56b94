export interface PassageText {
  position: number
  /** What it stands under, below the document's title; '' where that was said of the passage before. */
  heading: string
  text: string
}

/** Characters of its end that the passage after one may repeat. */
const REPEATED = 100

/** A document's passages to be read in a row: the first line of each is the path of its headings, and its beginning may repeat the one before. */
export function passagesOf(title: string, pieces: readonly { position: number; text: string }[]): PassageText[] {
  let [pathBefore, textBefore] = ['', '']
  return pieces.map(({ position, text: whole }) => {
    const [first = '', ...rest] = whole.split('\n')
    const headed = first === title || first.startsWith(`${title} > `)
    const path = headed ? first : ''
    const text = headed ? rest.join('\n') : whole
    const same = path === pathBefore
    const shown = same ? withoutRepeated(textBefore, text) : text
    ;[pathBefore, textBefore] = [path, text]
    return { position, heading: same ? '' : path.slice(title.length + 3).replaceAll(' > ', ' · '), text: shown }
  })
}

function withoutRepeated(before: string, text: string): string {
  for (let length = Math.min(REPEATED, before.length, text.length - 1); length > 0; length--) {
    if (/\s/.test(text.charAt(length)) && before.endsWith(text.slice(0, length))) return text.slice(length).trimStart()
  }
  return text
}

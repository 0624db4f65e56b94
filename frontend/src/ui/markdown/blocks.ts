/** A piece of Markdown that can be rendered by itself. `joins`: it goes on in the paragraph of the piece before. */
export interface Block {
  text: string
  joins: boolean
}

const FENCE = /^ {0,3}(`{3,}|~{3,})/
const MATH = /^ {0,3}\$\$/
const ITEM = /^ {0,3}(?:[-*+]|\d{1,9}[.)])(?:\s|$)/
const ITEM_HERE = /^(?:[-*+]|\d{1,9}[.)])\s/
const INDENTED = /^(?: {2,}|\t)/
/** A paragraph longer than this is divided, at a sentence: the piece that grows is parsed for every frame. */
const LONG = 800
/** The same for a list, at an item. */
const LONG_LIST = 400

/**
 * Divides Markdown that grows into blocks. All but the last are finished: they stay as they are while text is appended, so that
 * each is parsed once. Text that was changed otherwise is divided anew.
 */
export class Blocks {
  #text = ''
  #finished: Block[] = []
  /** Where the block begins that is not finished. */
  #at = 0
  #joins = false

  divide(text: string): readonly Block[] {
    if (!text.startsWith(this.#text)) {
      this.#finished = []
      this.#at = 0
      this.#joins = false
    }
    this.#text = text
    for (;;) {
      const end = endOf(text, this.#at)
      if (end === null) break
      const block = text.slice(this.#at, end.at)
      if (block.trim() !== '') this.#finished.push({ text: block, joins: this.#joins })
      this.#joins = end.within
      this.#at = end.at
    }
    const rest = text.slice(this.#at)
    return rest.trim() === '' ? [...this.#finished] : [...this.#finished, { text: rest, joins: this.#joins }]
  }
}

interface End {
  at: number
  /** Whether it is in the middle of a paragraph. */
  within: boolean
}

/** Where the block ends that begins at `start`; null while it may go on. */
function endOf(text: string, start: number): End | null {
  let at = start
  let list = false
  let blank = false
  let plain = true
  let first = true
  while (at < text.length) {
    const newline = text.indexOf('\n', at)
    // The last line may not be all there: nothing is decided by it.
    if (newline < 0) break
    const line = text.slice(at, newline)
    const next = newline + 1
    if (line.trim() === '') {
      if (first) start = next
      else if (list) blank = true
      else return { at: next, within: false }
      at = next
      continue
    }
    const fence = FENCE.exec(line)
    const math = MATH.test(line)
    if ((fence || math) && (!list || !INDENTED.test(line))) {
      if (!first) return { at, within: false }
      const closed = fence ? endOfFence(text, next, fence[1] ?? '') : endOfMath(text, at, next)
      return closed === null ? null : { at: closed, within: false }
    }
    if (first) list = ITEM.test(line)
    else if (list && blank && !ITEM.test(line) && !INDENTED.test(line)) return { at, within: false }
    else if (list && at - start > LONG_LIST && ITEM_HERE.test(line)) return { at, within: false }
    if (/^\s*(?:[|>#]|[-*+]\s|\d+[.)]\s)/.test(line) || INDENTED.test(line)) plain = false
    blank = false
    first = false
    at = next
  }
  if (plain && !list && text.length - start > LONG) return cut(text, start)
  return null
}

function endOfFence(text: string, from: number, marks: string): number | null {
  const close = new RegExp(`^ {0,3}${marks.startsWith('~') ? '~' : '`'}{${marks.length},}[ \\t]*$`)
  return endOfLine(text, from, (line) => close.test(line))
}

function endOfMath(text: string, at: number, next: number): number | null {
  const opening = text.slice(at, next).trim()
  if (opening.length > 3 && opening.endsWith('$$')) return next
  return endOfLine(text, next, (line) => line.trimEnd().endsWith('$$'))
}

/** The end of the first whole line that fits. */
function endOfLine(text: string, from: number, fits: (line: string) => boolean): number | null {
  for (let at = from; ; ) {
    const newline = text.indexOf('\n', at)
    if (newline < 0) return null
    if (fits(text.slice(at, newline))) return newline + 1
    at = newline + 1
  }
}

/** The end of a sentence in a long paragraph, where no emphasis, code, formula or link is open. */
function cut(text: string, start: number): End | null {
  const first = text.slice(start, text.indexOf('\n', start) >>> 0)
  if (/^\s*(?:[|>#]|[-*+]\s|\d+[.)]\s)/.test(first)) return null
  const sentence = /[.!?…。](?:["'”’)\]]*)\s+/g
  sentence.lastIndex = start + LONG * 0.75
  for (let found = sentence.exec(text); found; found = sentence.exec(text)) {
    const end = found.index + found[0].length
    if (end < text.length && !found[0].includes('\n') && settled(text.slice(start, end))) return { at: end, within: true }
  }
  return null
}

function settled(text: string): boolean {
  const count = (mark: RegExp) => text.match(mark)?.length ?? 0
  const even = [/\*/g, /_/g, /`/g, /~/g, /\$/g].every((mark) => count(mark) % 2 === 0)
  return even && count(/\[/g) === count(/\]/g) && count(/\(/g) === count(/\)/g)
}

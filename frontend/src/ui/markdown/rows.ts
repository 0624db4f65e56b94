/** Rows of a table that are parsed together: while it grows, only the last ones are parsed anew. */
const GROUP = 12

/** A long table's rows in groups, each as a table of its own with the same head; the text alone when it is no such table. */
export function rowGroups(text: string): readonly string[] {
  const lines = text.trimEnd().split('\n')
  const from = lines.findIndex((line) => line.trim() !== '')
  const [head, columns, ...rows] = lines.slice(from)
  if (head === undefined || columns === undefined || rows.length <= GROUP) return [text]
  if (!/^\s*\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?)?\s*$/.test(columns)) return [text]
  if (![head, ...rows].every((line) => line.startsWith('|'))) return [text]
  return Array.from({ length: Math.ceil(rows.length / GROUP) }, (_, at) =>
    [head, columns, ...rows.slice(at * GROUP, (at + 1) * GROUP)].join('\n'),
  )
}

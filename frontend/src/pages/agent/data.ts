import type { Row } from '../../sora'

export interface Table {
  title: string
  columns: readonly string[]
  rows: readonly Row[]
}

export interface ChartData {
  type: 'bar' | 'line'
  measures: readonly string[]
  /** One for each label: `label`, and a number or null for each measure's place. */
  points: readonly Record<string, string | number | null>[]
}

/** A result's table; null for none, and for what a graph of somebody's own has made of it that is no table. */
export function tableOf(data: Record<string, unknown> | null): Table | null {
  if (!data || !Array.isArray(data.rows) || data.rows.length === 0) return null
  const columns = Array.isArray(data.columns) ? data.columns.map(String) : []
  const rows = (data.rows as unknown[]).map((row): Row => {
    if (!Array.isArray(row)) return (row ?? {}) as Row
    return Object.fromEntries(columns.map((column, at) => [column, (row as unknown[])[at]]))
  })
  return {
    title: typeof data.title === 'string' ? data.title : '',
    columns: columns.length > 0 ? columns : Object.keys(rows[0] ?? {}),
    rows,
  }
}

/** The same for its chart. One bar alone is no chart. */
export function chartOf(data: Record<string, unknown> | null): ChartData | null {
  if (!data || !Array.isArray(data.labels) || data.labels.length < 2 || !Array.isArray(data.datasets)) return null
  const sets = (data.datasets as unknown[]).flatMap((one) => {
    const { label, data: values } = (one ?? {}) as { label?: unknown; data?: unknown }
    return Array.isArray(values) ? [{ label: typeof label === 'string' ? label : '', values: values as unknown[] }] : []
  })
  if (sets.length === 0) return null
  const points = data.labels.map((label, at) => {
    const point: Record<string, string | number | null> = { label: String(label) }
    sets.forEach(({ values }, number) => {
      const value = values[at]
      point[`value${number}`] = typeof value === 'number' ? value : null
    })
    return point
  })
  return { type: data.type === 'line' ? 'line' : 'bar', measures: sets.map(({ label }) => label), points }
}

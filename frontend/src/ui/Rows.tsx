import { useSettings } from '../app/settings'
import type { Row } from '../sora'
import css from './Rows.module.css'

interface Props {
  /** The id of its heading. */
  labelledBy: string
  columns: readonly string[]
  rows: readonly Row[]
  /** The place of the row that is meant. */
  marked?: number
}

/** Rows of data under the names of their columns; wider or longer than its place, it scrolls in it. */
export function Rows({ labelledBy, columns, rows, marked }: Props) {
  const { language } = useSettings()
  const cell = (value: unknown) => (typeof value === 'number' ? value.toLocaleString(language) : words(value))
  return (
    <div className={css.scroll} tabIndex={0} role="region" aria-labelledby={labelledBy}>
      <table className={css.table}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col" data-number={typeof rows[0]?.[column] === 'number'}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, at) => (
            <tr key={at} data-marked={at === marked}>
              {columns.map((column) => (
                <td key={column} data-number={typeof row[column] === 'number'}>
                  {cell(row[column])}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function words(value: unknown): string {
  if (value === null || value === undefined) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

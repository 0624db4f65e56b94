import { lazy, Suspense, useId, useState } from 'react'

import { Boundary } from '../../app/Boundary'
import { useWords } from '../../app/settings'
import type { AgentResult, Source } from '../../sora'
import { Button } from '../../ui/Button'
import { Rows } from '../../ui/Rows'
import { Sources } from '../thread/Sources'
import { chartOf, tableOf, type Table } from './data'
import css from './Result.module.css'
import { agentWords } from './words'

const Chart = lazy(() => import('./Chart'))

/** What an answer rests on: a chart and a table of the rows, sources, and how far to trust it. */
export function Result({ result, sources }: { result: AgentResult | null; sources: readonly Source[] }) {
  const w = useWords(agentWords)
  if (result === null) return <Sources sources={sources} />
  const chart = chartOf(result.chart_data)
  const table = tableOf(result.table_data)
  return (
    <div className={css.result}>
      {chart && (
        <figure className={css.card}>
          <figcaption>{chart.measures.join(' · ')}</figcaption>
          <div className={css.chart}>
            <Boundary fallback={null}>
              <Suspense fallback={null}>
                <Chart chart={chart} label={`${w.chart}: ${chart.measures.join(', ')}`} />
              </Suspense>
            </Boundary>
          </div>
        </figure>
      )}
      {table && <Found table={table} />}
      <Sources sources={sources.length > 0 ? sources : sourcesOf(result.sources)} />
      {result.confidence_score !== null && <Confidence score={result.confidence_score} />}
    </div>
  )
}

/** Rows that are shown at first. */
const FEW = 8

function Found({ table }: { table: Table }) {
  const w = useWords(agentWords)
  const [all, setAll] = useState(false)
  const titleId = useId()
  const rows = all ? table.rows : table.rows.slice(0, FEW)
  return (
    <section className={css.card} aria-labelledby={titleId}>
      <h3 id={titleId} className={css.title}>
        {table.title || w.table}
      </h3>
      <Rows labelledBy={titleId} columns={table.columns} rows={rows} />
      {table.rows.length > rows.length && (
        <div className={css.more}>
          {w.rows(rows.length, table.rows.length)}
          <Button look="quiet" onClick={() => setAll(true)}>
            {w.all}
          </Button>
        </div>
      )}
    </section>
  )
}

function Confidence({ score }: { score: number }) {
  const w = useWords(agentWords)
  const id = useId()
  return (
    <div className={css.confidence}>
      <span id={id}>{w.confidence}</span>
      <meter aria-labelledby={id} min={0} max={1} value={score} />
      {Math.round(score * 100)}%
    </div>
  )
}

function sourcesOf(values: readonly unknown[]): Source[] {
  return values.flatMap((value) => {
    const { url, title } = (value ?? {}) as Partial<Source>
    return typeof url === 'string' ? [{ url, title: typeof title === 'string' ? title : url }] : []
  })
}

import {
  Area,
  AreaChart,
  Bar,
  BarChart,
  CartesianGrid,
  ResponsiveContainer,
  Tooltip,
  XAxis,
  YAxis,
} from 'recharts'

import { useSettings } from '../../app/settings'
import type { ChartData } from './data'

/** One colour, in shades: several measures of one thing. */
const SHADES = ['var(--accent)', 'var(--edge)', 'var(--line)']

/** Bars, or a line over dates. In a chunk of its own. */
export default function Chart({ chart, label }: { chart: ChartData; label: string }) {
  const { language } = useSettings()
  const number = (value: unknown) =>
    typeof value === 'number' ? value.toLocaleString(language, { maximumFractionDigits: 2 }) : ''
  const short = (value: number) => value.toLocaleString(language, { notation: 'compact' })
  const axes = (
    <>
      <CartesianGrid vertical={false} stroke="var(--line)" />
      <XAxis dataKey="label" tickLine={false} axisLine={false} tick={TICK} minTickGap={12} />
      <YAxis tickLine={false} axisLine={false} tick={TICK} width={52} tickFormatter={short} />
      <Tooltip
        formatter={number}
        isAnimationActive={false}
        cursor={{ fill: 'var(--sunk)', stroke: 'var(--line)' }}
        contentStyle={BOX}
        itemStyle={{ color: 'var(--ink)' }}
      />
    </>
  )
  const shade = (at: number) => SHADES[at % SHADES.length] ?? 'var(--accent)'
  const points = [...chart.points]
  return (
    <ResponsiveContainer width="100%" height="100%">
      {chart.type === 'line' ? (
        <AreaChart data={points} title={label} margin={MARGIN}>
          {axes}
          {chart.measures.map((measure, at) => (
            <Area
              key={at}
              dataKey={`value${at}`}
              name={measure}
              stroke={shade(at)}
              strokeWidth={2}
              fill={shade(at)}
              fillOpacity={0.12}
              isAnimationActive={false}
            />
          ))}
        </AreaChart>
      ) : (
        <BarChart data={points} title={label} margin={MARGIN}>
          {axes}
          {chart.measures.map((measure, at) => (
            <Bar
              key={at}
              dataKey={`value${at}`}
              name={measure}
              fill={shade(at)}
              radius={[5, 5, 0, 0]}
              maxBarSize={44}
              isAnimationActive={false}
            />
          ))}
        </BarChart>
      )}
    </ResponsiveContainer>
  )
}

const TICK = { fill: 'var(--soft)', fontSize: 12 }
const MARGIN = { top: 8, right: 8, bottom: 0, left: 0 }
const BOX = {
  border: '1px solid var(--line)',
  borderRadius: 10,
  background: 'var(--card)',
  color: 'var(--ink)',
  fontSize: 13,
}

import { describe, expect, it } from 'vitest'

import { rowGroups } from '../../src/ui/markdown/rows'

const HEAD = '| 부품 | 수량 |\n|---|--:|'
const rows = (count: number) => Array.from({ length: count }, (_, at) => `| AX-${at} | ${at} |`)

describe('A long table', () => {
  it('comes in groups of rows, each under the same head, and loses none', () => {
    const groups = rowGroups([HEAD, ...rows(30)].join('\n') + '\n')
    expect(groups.length).toBe(3)
    for (const group of groups) expect(group.startsWith(HEAD)).toBe(true)
    expect(groups.flatMap((group) => group.split('\n').slice(2))).toEqual(rows(30))
  })

  it('keeps the groups before the last one as they are while it grows', () => {
    const before = rowGroups([HEAD, ...rows(29)].join('\n'))
    const now = rowGroups([HEAD, ...rows(30)].join('\n'))
    expect(now.slice(0, -1)).toEqual(before.slice(0, -1))
  })

  it('is in one piece when it is short, or when it is no table', () => {
    for (const text of [
      [HEAD, ...rows(12)].join('\n'),
      [HEAD, ...rows(30), '그 밖에는 없다.'].join('\n'),
      rows(30).join('\n'),
      '| 한 줄',
      '',
    ]) {
      expect(rowGroups(text)).toEqual([text])
    }
  })
})

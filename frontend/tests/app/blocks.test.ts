import { describe, expect, it } from 'vitest'

import { Blocks } from '../../src/ui/markdown/blocks'

const WHOLE = `# 오늘

첫 문단이다.
둘째 줄.

- 하나

- 둘
  이어지는 줄
    - 안쪽

1. 첫째
2. 둘째

\`\`\`python
def f():

    return 1
\`\`\`

| 가 | 나 |
|---|---|
| 1 | 2 |

$$
a^2

+ b^2
$$

끝.`

function texts(text: string): string[] {
  return new Blocks().divide(text).map((block) => block.text.trim())
}

describe('Markdown that grows', () => {
  it('is divided at empty lines, but not within lists, code and formulas', () => {
    expect(texts(WHOLE)).toEqual([
      '# 오늘',
      '첫 문단이다.\n둘째 줄.',
      '- 하나\n\n- 둘\n  이어지는 줄\n    - 안쪽\n\n1. 첫째\n2. 둘째',
      '```python\ndef f():\n\n    return 1\n```',
      '| 가 | 나 |\n|---|---|\n| 1 | 2 |',
      '$$\na^2\n\n+ b^2\n$$',
      '끝.',
    ])
  })

  it('keeps finished blocks as they are, whatever comes after, and loses nothing', () => {
    const blocks = new Blocks()
    let before: readonly { text: string }[] = []
    for (let end = 1; end <= WHOLE.length; end++) {
      const now = blocks.divide(WHOLE.slice(0, end))
      for (const [at, block] of before.slice(0, -1).entries()) expect(now[at]).toBe(block)
      before = now
    }
    const bare = (text: string) => text.replace(/\s/g, '')
    expect(bare(before.map((block) => block.text).join(''))).toBe(bare(WHOLE))
    expect(before.map((block) => block.text.trim())).toEqual(texts(WHOLE))
  })

  it('divides a paragraph of many pages after sentences, outside of emphasis and code', () => {
    const long = 'This is **one. And** that is `code. More`. '.repeat(200)
    const blocks = new Blocks().divide(long)
    expect(blocks.length).toBeGreaterThan(3)
    expect(blocks.map((block) => block.text).join('')).toBe(long)
    expect(blocks.slice(1).every((block) => block.joins)).toBe(true)
    for (const { text } of blocks) {
      expect((text.match(/\*\*/g) ?? []).length % 2).toBe(0)
      expect((text.match(/`/g) ?? []).length % 2).toBe(0)
      expect(text.length).toBeLessThan(2400)
    }
  })

  it('does not cut a long table, and cuts a long list between items', () => {
    const table = `| a | b |\n|---|---|\n${'| one. | two. |\n'.repeat(300)}`
    expect(texts(table)).toHaveLength(1)
    const list = Array.from({ length: 300 }, (_, at) => `${at + 1}. item. of a list\n`).join('')
    const parts = texts(list)
    expect(parts.length).toBeGreaterThan(2)
    expect(parts.every((part) => /^\d+\. /.test(part))).toBe(true)
  })

  it('begins anew with a text that is not what was there and more', () => {
    const blocks = new Blocks()
    blocks.divide('one\n\ntwo\n\nthree')
    expect(blocks.divide('one\n\nother').map((block) => block.text.trim())).toEqual(['one', 'other'])
  })
})

import { expect, it } from 'vitest'

import { passagesOf } from '../../src/pages/documents/passages'

it('passages are read in a row: each heading once, and nothing twice', () => {
  const pieces = [
    '휴가 규정\n임직원의 휴가를 정한다.',
    '휴가 규정 > 연차 > 이월\n다음 해로 이월한다. 최대 5일이다.',
    '휴가 규정 > 연차 > 이월\n최대 5일이다. 나머지는 소멸한다.',
    '휴가 규정 > 경조\n결혼은 5일이다.',
  ].map((text, position) => ({ position, text }))
  expect(passagesOf('휴가 규정', pieces).map(({ heading, text }) => [heading, text])).toEqual([
    ['', '임직원의 휴가를 정한다.'],
    ['연차 · 이월', '다음 해로 이월한다. 최대 5일이다.'],
    ['', '나머지는 소멸한다.'],
    ['경조', '결혼은 5일이다.'],
  ])
  expect(passagesOf('메모', [{ position: 0, text: '첫 줄\n둘째 줄' }])).toEqual([
    { position: 0, heading: '', text: '첫 줄\n둘째 줄' },
  ])
})

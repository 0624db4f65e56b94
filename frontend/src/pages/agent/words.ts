import type { Language } from '../../app/settings'

const ko = {
  title: '무엇을 찾아 드릴까요?',
  text: '질문을 나누어 살피고, 문서와 표에서 찾아 계산해 답합니다. 무엇을 근거로 했는지도 보여 드립니다.',
  placeholder: '에이전트에게 물어보세요',
  examples: ['ABC-12345 부품의 재고는?', '창고별 재고 합계를 보여줘', '월별 매출 합계는?'],
  steps: '진행 단계',
  in_progress: '진행 중',
  completed: '완료',
  failed: '실패',
  confidence: '신뢰도',
  details: '표와 근거 보기',
  chart: '차트',
  table: '표',
  rows: (shown: number, all: number) => `${all.toLocaleString('ko')}행 중 ${shown.toLocaleString('ko')}행`,
  all: '모두 보기',
}

const en: typeof ko = {
  title: 'What shall I look up?',
  text: 'The question is taken apart, looked up in documents and tables, computed and answered, with what the answer rests on.',
  placeholder: 'Ask the agent',
  examples: ['Stock of part ABC-12345?', 'Total stock by warehouse', 'Total sales by month?'],
  steps: 'Steps',
  in_progress: 'under way',
  completed: 'done',
  failed: 'failed',
  confidence: 'Confidence',
  details: 'Show table and sources',
  chart: 'Chart',
  table: 'Table',
  rows: (shown, all) => `${shown.toLocaleString('en')} of ${all.toLocaleString('en')} rows`,
  all: 'Show all',
}

export const agentWords: Record<Language, typeof ko> = { ko, en }

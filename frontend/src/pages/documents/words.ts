import type { Language } from '../../app/settings'

const ko = {
  back: '돌아가기',
  shared: '함께 보는 문서',
  own: '내 문서',
  passages: (count: number) => `${count.toLocaleString('ko')}개 단락`,
  rows: (count: number) => `${count.toLocaleString('ko')}행`,
  marked: '질문과 가장 가까운 곳을 표시했습니다.',
  here: '질문과 가장 가까운 곳',
}

const en: typeof ko = {
  back: 'Back',
  shared: 'Shared document',
  own: 'Own document',
  passages: (count) => `${count.toLocaleString('en')} ${count === 1 ? 'passage' : 'passages'}`,
  rows: (count) => `${count.toLocaleString('en')} ${count === 1 ? 'row' : 'rows'}`,
  marked: 'What is nearest to the question is marked.',
  here: 'Nearest to the question',
}

export const documentWords: Record<Language, typeof ko> = { ko, en }

import type { Language } from '../../app/settings'

const ko = {
  title: '무엇이 궁금하세요?',
  text: '파일을 끌어다 놓거나 붙여 넣고 물어보세요. 지식 베이스와 웹에서 근거를 찾아 함께 보여 드립니다.',
  placeholder: '질문을 쓰거나 파일을 올려 주세요',
  examples: ['남은 연차는 다음 해로 이월되나요?', '출장비는 언제까지 정산하나요?', '공기청정기 AP300의 필터 교체 주기는?'],
  attach: '파일 올리기',
  drop: '여기에 놓으면 질문과 함께 보냅니다',
  takeOut: (name: string) => `${name} 빼기`,
  web: '웹 검색',
  images: '이미지',
  videos: '영상',
  drifted: '새로운 주제로 보여, 앞의 대화는 빼고 답했습니다.',
  usage: (input: number, output: number) => `입력 ${input.toLocaleString('ko')} · 출력 ${output.toLocaleString('ko')} 토큰`,
  tooMany: (most: number) => `파일은 한 번에 ${most}개까지 보낼 수 있습니다.`,
  tooLarge: (name: string, megabytes: number) => `${name}: 파일은 ${megabytes}MB까지 보낼 수 있습니다.`,
}

const en: typeof ko = {
  title: 'What would you like to know?',
  text: 'Drop or paste files and ask about them. The knowledge base and the web are searched along, and sources are shown.',
  placeholder: 'Write a question, or add files',
  examples: ['Can unused leave be carried over?', 'When must travel expenses be handed in?', 'How often does the AP300 need a new filter?'],
  attach: 'Add files',
  drop: 'Drop them here to send them with the question',
  takeOut: (name) => `Take out ${name}`,
  web: 'Web search',
  images: 'Pictures',
  videos: 'Videos',
  drifted: 'This looked like a new topic: it was answered without what was said before.',
  usage: (input, output) => `${input.toLocaleString('en')} tokens in, ${output.toLocaleString('en')} out`,
  tooMany: (most) => `At most ${most} files can go along.`,
  tooLarge: (name, megabytes) => `${name}: a file may have up to ${megabytes} MB.`,
}

export const askWords: Record<Language, typeof ko> = { ko, en }

import { useWords, type Language } from '../../app/settings'
import type { RunHandle } from '../../sora'
import { Talk } from '../thread/Talk'
import type { Extras } from '../thread/TurnView'

const ko = {
  title: '무슨 이야기를 할까요?',
  text: '편하게 말을 걸어 주세요. 창을 닫아도 답은 끝까지 쓰이고, 돌아오면 이어서 볼 수 있습니다.',
  placeholder: '메시지를 쓰세요',
  examples: ['잠이 오지 않는 밤에 할 만한 일', '오늘 배운 것을 세 줄로 정리하는 법', '주말에 읽을 짧은 소설 추천'],
}

const en: typeof ko = {
  title: 'What shall we talk about?',
  text: 'Say what is on your mind. Close the window and the answer is still written to its end; come back and it goes on.',
  placeholder: 'Write a message',
  examples: ['Things to do on a sleepless night', 'How to sum up a day in three lines', 'Short novels for a weekend'],
}

const words: Record<Language, typeof ko> = { ko, en }
const PLAIN: Extras = {}

/** Conversations that the server remembers. All that are not another page's are shown here. */
export default function Chat() {
  const w = useWords(words)
  return <Talk page="chat" start={start} extras={PLAIN} words={w} />
}

function start(run: RunHandle, name: string, text: string): Promise<string | null> {
  return run.start('chat', { message: text, conversation_id: name })
}

import type { Language } from './settings'

const ko = {
  sending: '보내는 중',
  uploading: (percent: number) => `파일 올리는 중 ${percent}%`,
  thinking: '답변을 생각 중이에요',
  saving: '다 썼습니다. 저장하는 중이에요',
  reconnecting: '연결이 끊겨 다시 잇고 있어요. 받은 글은 그대로 있습니다.',
  draining: '서버를 새로 시작하고 있어요. 곧 이어집니다.',
  offline: '오프라인이에요. 연결되면 이어서 받습니다.',
  inSeconds: (seconds: number) => `${seconds}초 뒤 다시 시도`,
  cancelled: '멈추었습니다.',
  interrupted: '서버 사정으로 답이 중간에 끊겼습니다. 여기까지는 남아 있습니다.',
  notSent: '요청 전송에 실패했습니다',
  model: '모델이 지금 답하지 못하고 있어요',
  busy: '요청이 많아 잠시 기다려야 해요',
  full: '지금은 서버가 붐벼요',
  filtered: '내용 정책에 따라 답을 끝까지 보여 드릴 수 없어요',
  failed: '답을 끝까지 받지 못했어요',
  length: '답이 길이 한도에 닿아 여기서 멈추었습니다.',
  conversation: '이 대화에서 다른 답을 쓰고 있어요. 끝나면 다시 보내 주세요.',
  partial: '[연결 끊김]',
  stoppedHere: '[멈춤]',
}

const en: typeof ko = {
  sending: 'Sending',
  uploading: (percent) => `Uploading the files, ${percent}%`,
  thinking: 'Thinking about the answer',
  saving: 'All is written; saving it',
  reconnecting: 'The connection was lost; reconnecting. What has arrived stays.',
  draining: 'The server is restarting. It goes on in a moment.',
  offline: 'You are offline. It goes on once you are back.',
  inSeconds: (seconds) => `again in ${seconds} s`,
  cancelled: 'Stopped.',
  interrupted: 'The server broke the answer off. What was written is kept.',
  notSent: 'The request could not be sent',
  model: 'The model cannot answer right now',
  busy: 'Too many requests; please wait a moment',
  full: 'The server is busy right now',
  filtered: 'The content policy does not allow the whole answer to be shown',
  failed: 'The answer did not arrive in full',
  length: 'The answer reached its length limit and ends here.',
  conversation: 'Another answer is being written in this conversation. Please send again when it is done.',
  partial: '[connection lost]',
  stoppedHere: '[stopped]',
}

export const troubleWords: Record<Language, typeof ko> = { ko, en }

/** Which words tell what an error of this code is about; `sent`: the request had arrived. */
export function headingOf(code: string, sent: boolean): 'model' | 'busy' | 'full' | 'filtered' | 'failed' | 'notSent' {
  if (code.startsWith('upstream_')) return 'model'
  if (code === 'rate_limited' || code === 'too_many_runs') return 'busy'
  if (code === 'overloaded' || code === 'draining') return 'full'
  if (code === 'content_filter') return 'filtered'
  return sent ? 'failed' : 'notSent'
}

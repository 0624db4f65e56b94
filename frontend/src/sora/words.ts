export type Language = 'ko' | 'en'

export function browserLanguage(): Language {
  return typeof navigator !== 'undefined' && navigator.language.startsWith('ko') ? 'ko' : 'en'
}

/** What the library has to say where the server cannot. */
export const words = {
  ko: {
    network: '서버에 연결할 수 없습니다. 네트워크를 확인해 주세요.',
    timeout: '응답이 너무 늦어 기다리기를 멈추었습니다.',
    unavailable: '서버가 잠시 응답하지 않습니다. 잠시 후 다시 시도해 주세요.',
    connection_lost: '연결이 끊겼습니다. 받은 내용은 남아 있으니 다시 시도해 주세요.',
    bad_response: '서버의 응답을 이해할 수 없습니다.',
  },
  en: {
    network: 'The server could not be reached. Please check the network.',
    timeout: 'The answer took too long, so we stopped waiting.',
    unavailable: 'The server does not answer right now. Please try again shortly.',
    connection_lost: 'The connection was lost. What had arrived is kept; please try again.',
    bad_response: 'The server gave an answer that could not be understood.',
  },
} as const

import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'

import { createClient, Run } from '../../src/sora'
import { Server } from './server'
import { settled } from './settled'

let server: Server

beforeAll(async () => {
  server = await Server.start({ env: { SORA_MODEL: 'sim-n40-d5', SORA_UPLOAD_ROLES: '*' }, workers: 1 })
})
afterAll(() => server.stop())
beforeEach(() => server.forget())

const note = () => new File(['회의는 금요일입니다.'], '회의록.txt')

it('a question with a file is answered as any other, and once, when its answer was lost', async () => {
  const run = new Run(createClient({ baseUrl: await server.cutter([30, 700]) }))
  const id = await run.start('ask', { question: '언제야?', temperature: 0.5, isWebSearch: false, files: [note()] })
  const state = await settled(run)
  expect(state).toMatchObject({ status: 'completed', runId: id })
  expect(state.text).toBe((await createClient({ baseUrl: server.url }).runs.show(id ?? '')).text)
  expect(state.sources.map(({ title }) => title)).toContain('회의록.txt')
  expect(state.progress.map(({ stage }) => stage)).toContain('file_analysis')
  const asked = await server.generations()
  expect(asked).toHaveLength(1)
  expect(JSON.stringify(asked[0]?.messages)).toContain('회의는 금요일입니다.')
})

it('it is asked again with its files', async () => {
  const run = new Run(createClient({ baseUrl: server.url }))
  const first = await run.start('ask', { question: '', files: [note()] })
  await settled(run)
  const second = await run.retry()
  expect(await settled(run)).toMatchObject({ status: 'completed', runId: second })
  expect(second).not.toBe(first)
  const asked = await server.generations()
  expect(asked.map(({ messages }) => JSON.stringify(messages).includes('금요일'))).toEqual([true, true])
})

it('documents are put, found and removed', async () => {
  const client = createClient({ baseUrl: server.url })
  const [document] = await client.documents.put([note()])
  expect(document).toMatchObject({ name: '회의록.txt', scope: 'own' })
  expect((await client.documents.list()).items.map(({ id }) => id)).toContain(document?.id)
  expect((await client.search('회의는 언제'))[0]).toMatchObject({ documentId: document?.id })
  await client.documents.remove(document?.id ?? '')
  await expect(client.documents.remove(document?.id ?? '')).rejects.toMatchObject({ name: 'SoraError', code: 'not_found', status: 404 })
})

it('conversations are named and removed, and one is somebody', async () => {
  const client = createClient({ baseUrl: server.url })
  const { id } = await client.conversations.create({ title: '밤의 이야기' })
  await client.conversations.rename(id, '새벽의 이야기')
  expect((await client.conversations.list({ limit: 1 })).items).toMatchObject([{ id, title: '새벽의 이야기', runId: null }])
  await client.conversations.remove(id)
  await expect(client.conversations.show(id)).rejects.toMatchObject({ code: 'not_found' })
  expect(await client.session.show()).toMatchObject({ id: 'guest' })
})

import { useLoaded } from '../../app/useLoaded'
import { useSora } from '../../sora'

/** The position of the document's passage that fits the question best; null for none that the knowledge base finds. */
export function useMarked(id: string, question: string): number | null {
  const client = useSora()
  const { data } = useLoaded(question.trim() === '' ? null : `${id} ${question}`, () => client.search(question))
  const best = data?.find((hit) => hit.documentId === id)
  return best ? Number(best.passageId.slice(id.length + 1)) : null
}

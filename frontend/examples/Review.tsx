import { isActive, useReview } from '../src/sora'

/** The diary's review: `POST /stream/review`, once a loop over `reader.read()`. */
export function Review({ onSaved }: { onSaved?: () => void }) {
  // The server saves the review before it says that it is done.
  const review = useReview({ onComplete: () => onSaved?.() })

  const send = (form: FormData) => {
    const body = form.get('body') as string
    void review.send({ body, type: 'FEELING', reviewDate: new Date().toLocaleDateString('sv') })
  }

  return (
    <form action={send}>
      <textarea name="body" aria-label="일기" required />
      <button disabled={isActive(review)}>보내기</button>
      {isActive(review) && (
        <button type="button" onClick={() => void review.stop()}>
          그만
        </button>
      )}
      <output>{review.text}</output>
      {review.status === 'reconnecting' && <p>다시 연결하는 중입니다.</p>}
      {review.error && <p role="alert">{review.error.message}</p>}
    </form>
  )
}

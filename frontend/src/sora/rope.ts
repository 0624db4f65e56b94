/**
 * A text that grows by pieces, each at a place in the run's events, and can be taken back to one. A piece costs the same however long
 * the text is; the pieces are joined when the text is asked for.
 */
export class Rope {
  #joined = ''
  #pending: string[] = []
  readonly #seqs: number[] = []
  readonly #ends: number[] = []
  #end = 0

  /** Number of pieces. */
  get size(): number {
    return this.#seqs.length
  }

  append(seq: number, piece: string): void {
    this.#pending.push(piece)
    this.#end += piece.length
    this.#seqs.push(seq)
    this.#ends.push(this.#end)
  }

  /** Drops what came after `seq`. */
  rewind(seq: number): void {
    while (this.#seqs.length > 0 && (this.#seqs.at(-1) ?? 0) > seq) {
      this.#seqs.pop()
      this.#ends.pop()
    }
    this.#end = this.#ends.at(-1) ?? 0
    this.#joined = this.toString().slice(0, this.#end)
  }

  toString(): string {
    if (this.#pending.length > 0) {
      this.#joined += this.#pending.join('')
      this.#pending = []
    }
    return this.#joined
  }
}

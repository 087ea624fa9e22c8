/**
 * Gives answers out in the order of their numbers.
 *
 * @module
 */

/** Holds answers that came early. Never more than the stream's window, since no more are unanswered. */
export class Reorder<Answer> {
  readonly #early = new Map<number, Answer>();
  readonly #emit: (sequence: number, answer: Answer) => void;
  #next: number;

  /**
   * @param next - the first number
   * @param emit - called in the order of the numbers, without a gap
   */
  constructor(next: number, emit: (sequence: number, answer: Answer) => void) {
    this.#next = next;
    this.#emit = emit;
  }

  /** Whether this number is the next to be given out. */
  isNext(sequence: number): boolean {
    return sequence === this.#next;
  }

  /** How many answers wait for an earlier one. */
  get waiting(): number {
    return this.#early.size;
  }

  /** Takes an answer, and gives out all that is in order now. */
  add(sequence: number, answer: Answer): void {
    if (sequence !== this.#next) {
      if (sequence < this.#next || this.#early.has(sequence))
        throw new Error(`number ${sequence} was answered twice`);
      this.#early.set(sequence, answer);
      return;
    }
    this.#next++;
    this.#emit(sequence, answer);
    for (let early = this.#early.get(this.#next); early !== undefined; early = this.#early.get(this.#next)) {
      const ready = this.#next++;
      this.#early.delete(ready);
      this.#emit(ready, early);
    }
  }
}

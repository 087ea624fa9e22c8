/**
 * An async iterable that is written to by pushing. It holds whatever is pushed: whoever pushes
 * keeps the bound, here the stream's window.
 */
export class MessageQueue<T> implements AsyncIterable<T> {
  readonly #messages: T[] = [];
  #waiting: ((result: IteratorResult<T, undefined>) => void) | undefined;
  #ended = false;

  /** Adds a message at the end. */
  push(message: T): void {
    if (this.#ended) return;
    if (this.#waiting) {
      const resolve = this.#waiting;
      this.#waiting = undefined;
      resolve({ done: false, value: message });
    } else {
      this.#messages.push(message);
    }
  }

  /** Ends the iteration once everything pushed has been read. */
  end(): void {
    this.#ended = true;
    this.#waiting?.({ done: true, value: undefined });
    this.#waiting = undefined;
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return {
      next: () => {
        const message = this.#messages.shift();
        if (message !== undefined) return Promise.resolve({ done: false, value: message });
        if (this.#ended) return Promise.resolve({ done: true, value: undefined });
        return new Promise((resolve) => {
          this.#waiting = resolve;
        });
      },
      return: () => {
        this.#messages.length = 0;
        this.end();
        return Promise.resolve({ done: true, value: undefined });
      },
      // Connect's own transports end their input with this when a call fails, and insist on it.
      throw: (error: unknown) => {
        this.#messages.length = 0;
        this.end();
        return Promise.reject(error);
      },
    };
  }
}

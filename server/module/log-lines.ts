const newline = 0x0a;
const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** Turns the bytes that a guest writes to a standard stream into lines; keeps what has no line end yet. */
export class LogLines {
  readonly #kept: Uint8Array;
  readonly #emit: (line: string) => void;
  #keptBytes = 0;

  /**
   * @param maxLineBytes - where a line is cut; the rest of it is dropped
   * @param emit - takes each line, without its end
   */
  constructor(maxLineBytes: number, emit: (line: string) => void) {
    this.#kept = new Uint8Array(maxLineBytes);
    this.#emit = emit;
  }

  /** Takes bytes from the guest. Empty lines are dropped. */
  write(bytes: Uint8Array): void {
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(newline, start);
      this.#keep(bytes, start, end < 0 ? bytes.length : end);
      if (end < 0) return;
      this.flush();
      start = end + 1;
    }
  }

  /** Ends the current line. */
  flush(): void {
    if (this.#keptBytes === 0) return;
    const line = text.decode(this.#kept.subarray(0, this.#keptBytes));
    this.#keptBytes = 0;
    this.#emit(line);
  }

  #keep(bytes: Uint8Array, start: number, end: number): void {
    const length = Math.min(end - start, this.#kept.length - this.#keptBytes);
    if (length <= 0) return;
    this.#kept.set(bytes.subarray(start, start + length), this.#keptBytes);
    this.#keptBytes += length;
  }
}

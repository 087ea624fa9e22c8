import { HostCallError } from "./trap.ts";

const none = new Uint8Array(0);
const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** A guest's linear memory as the host sees it. Pointers from the guest are taken as unsigned. */
export class GuestMemory {
  #memory: WebAssembly.Memory | undefined;
  #bytes: Uint8Array = none;

  /** Takes up the memory, once the guest is instantiated. */
  attach(memory: WebAssembly.Memory): void {
    this.#memory = memory;
    this.#bytes = new Uint8Array(memory.buffer);
  }

  /**
   * The whole memory. Growth detaches the former view, which then has the length 0; a new one
   * is made only then.
   */
  get bytes(): Uint8Array {
    if (this.#bytes.length === 0) this.#refresh();
    return this.#bytes;
  }

  #refresh(): void {
    const buffer = this.#memory?.buffer;
    if (buffer !== undefined && buffer !== this.#bytes.buffer) this.#bytes = new Uint8Array(buffer);
  }

  /** Whether the memory has all of `length` bytes at `pointer`. Both must be unsigned. */
  has(pointer: number, length: number): boolean {
    return pointer + length <= this.bytes.length;
  }

  /** Whether the guest could have one page more. Asks by growing: only for an instance that is given up. */
  isExhausted(): boolean {
    try {
      this.#memory?.grow(1);
      return false;
    } catch {
      return true;
    }
  }

  /**
   * UTF-8 that the guest points at, cut to `maxBytes`; what is not UTF-8 becomes U+FFFD.
   *
   * @throws HostCallError where it is not inside the memory; `what` names it
   */
  text(pointer: number, length: number, maxBytes: number, what: string): string {
    const start = pointer >>> 0;
    const size = length >>> 0;
    if (this.#memory === undefined) {
      throw new HostCallError(
        `${what}: the host has no memory of the module before its start section has ended; call this from _initialize`,
      );
    }
    if (!this.has(start, size)) {
      throw new HostCallError(
        `${what}: ${size} bytes at ${start} are outside the memory of ${this.bytes.length} bytes`,
      );
    }
    return text.decode(this.bytes.subarray(start, start + Math.min(size, maxBytes)));
  }
}

/**
 * A gate that holds whoever waits at it until a test opens it.
 *
 * @example
 * const gate = new Gate();
 * const passed = gate.wait();
 * gate.open();
 * await passed;
 */
export class Gate {
  readonly #opened = Promise.withResolvers<void>();

  /** Resolves once the gate is open. */
  wait(): Promise<void> {
    return this.#opened.promise;
  }

  /** Lets everybody through from now on. */
  open(): void {
    this.#opened.resolve();
  }
}

/** Resolves as soon as the condition holds; looks once in every turn of the event loop. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets the event loop turn so often, for what has been set in motion to happen. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}

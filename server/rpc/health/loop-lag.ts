/**
 * How long the main thread's event loop takes for a turn, measured when somebody asks.
 *
 * @module
 */

/** Measures one turn of the event loop, in milliseconds. Costs nothing between. */
export function measureTurn(): Promise<number> {
  return new Promise((resolve) => {
    // What is left of this turn belongs to whoever asks.
    setImmediate(() => {
      const startMs = performance.now();
      setImmediate(() => resolve(performance.now() - startMs));
    });
  });
}

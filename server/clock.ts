/**
 * Time, as the server's parts see it. Tests put a clock of their own in its place.
 *
 * @module
 */

/** A source of time. */
export interface Clock {
  /** Milliseconds since the Unix epoch, with fractions; never goes backwards. */
  nowMs(): number;
}

const { timeOrigin } = performance;

/** The machine's clock: monotonic, set to the wall clock once, at start. */
export const systemClock: Clock = {
  nowMs: () => timeOrigin + performance.now(),
};

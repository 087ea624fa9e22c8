/**
 * Time, as the server's parts see it. Tests put a clock of their own in its place.
 *
 * @module
 */

/** A source of time. */
export interface Clock {
  /** Milliseconds since the Unix epoch as they were at the start and have passed since, with fractions: what durations are measured with. Nobody can set it. */
  nowMs(): number;
  /** Milliseconds since the Unix epoch by the wall clock, which may jump: for what shall be compared after the process. */
  wallMs(): number;
}

const { timeOrigin } = performance;

/** The machine's clock: monotonic, set to the wall clock once, at start. */
export const systemClock: Clock = {
  nowMs: () => timeOrigin + performance.now(),
  wallMs: () => Date.now(),
};

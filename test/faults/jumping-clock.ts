/**
 * Makes the wall clock of the process that loads it jump an hour ahead and back, several times a second.
 *
 * @module
 */

const { now } = Date;
const hourMs = 3_600_000;
const steps = [0, hourMs, -hourMs, 0, -hourMs, hourMs];
/** How long the clock runs well between two jumps. */
const stepMs = 150;
const startMs = performance.now();

function step(): number {
  return Math.floor((performance.now() - startMs) / stepMs);
}

function jumpingNow(): number {
  return now() + (steps[step() % steps.length] ?? 0);
}

Date.now = jumpingNow;
const OwnDate = Date;
globalThis.Date = new Proxy(OwnDate, {
  construct: (target, args: [], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [jumpingNow()] : args, newTarget) as object,
});

/** How often it has jumped. */
export function jumps(): number {
  return step();
}

/** The right time again. */
export function stop(): void {
  globalThis.Date = OwnDate;
  Date.now = now;
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BreakerSpec } from "../bridge/pipeline-spec.ts";
import { Breaker, strictest } from "./breaker.ts";

const spec: BreakerSpec = { faults: 3, window: 5, openMs: 1_000, probes: 2, recordFailures: false };

function make(): { breaker: Breaker; changes: string[] } {
  const changes: string[] = [];
  return { breaker: new Breaker(spec, (from, to) => changes.push(`${from}>${to}`)), changes };
}

describe("a breaker", () => {
  test("opens at the configured number of faults in the window, not before", () => {
    const { breaker, changes } = make();
    for (const fault of [true, false, true]) breaker.record(fault, false, 0);
    expect(breaker.state.t).toBe("closed");
    breaker.record(true, false, 0);
    expect(breaker.state.t).toBe("open");
    expect(changes).toEqual(["closed>open"]);
  });

  test("forgets calls that the window has left behind", () => {
    const { breaker } = make();
    for (const fault of [true, true, false, false, false, false, true, true]) breaker.record(fault, false, 0);
    expect(breaker.state.t).toBe("closed");
  });

  test("answers at once while open, and says for how long", () => {
    const { breaker } = make();
    for (let call = 0; call < 3; call++) breaker.record(true, false, 0);
    expect(breaker.ask(400)).toEqual({ t: "refused", retryAfterMs: 600 });
  });

  test("lets one probe at a time try when the time is over, and closes after enough of them", () => {
    const { breaker, changes } = make();
    for (let call = 0; call < 3; call++) breaker.record(true, false, 0);
    expect(breaker.ask(1_000).t).toBe("probe");
    expect(breaker.ask(1_000).t).toBe("refused");
    breaker.record(false, true, 1_001);
    expect(breaker.ask(1_002).t).toBe("probe");
    breaker.record(false, true, 1_003);
    expect(breaker.ask(1_004).t).toBe("run");
    expect(changes).toEqual(["closed>open", "open>half_open", "half_open>closed"]);
  });

  test("opens again when a probe breaks", () => {
    const { breaker } = make();
    for (let call = 0; call < 3; call++) breaker.record(true, false, 0);
    breaker.ask(1_000);
    breaker.record(true, true, 1_001);
    expect(breaker.ask(2_000)).toMatchObject({ t: "refused", retryAfterMs: 1 });
  });

  test("lets another probe try when one was abandoned", () => {
    const { breaker } = make();
    for (let call = 0; call < 3; call++) breaker.record(true, false, 0);
    breaker.ask(1_000);
    breaker.abandonProbe();
    expect(breaker.ask(1_001).t).toBe("probe");
  });

  test("goes on with another policy at once", () => {
    const { breaker } = make();
    breaker.adopt({ ...spec, faults: 1 });
    breaker.record(true, false, 0);
    expect(breaker.state.t).toBe("open");
  });

  test("of several stages keeps the strictest of each setting", () => {
    expect(strictest([spec, { ...spec, faults: 1, window: 2, openMs: 5_000, recordFailures: true }])).toEqual(
      {
        ...spec,
        faults: 1,
        openMs: 5_000,
        recordFailures: true,
      },
    );
  });
});

test("a breaker goes through its states as its description says, whatever comes", () => {
  type Step = { t: "call"; fault: boolean } | { t: "wait"; ms: number };
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ t: fc.constant("call" as const), fault: fc.boolean() }),
    fc.record({ t: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 700 }) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { breaker } = make();
      let nowMs = 0;
      let window: boolean[] = [];
      let openUntilMs: number | undefined;
      let successes = 0;
      for (const next of steps) {
        if (next.t === "wait") {
          nowMs += next.ms;
          continue;
        }
        const permission = breaker.ask(nowMs).t;
        if (openUntilMs === undefined) {
          expect(permission).toBe("run");
          window = [...window, next.fault].slice(-spec.window);
          breaker.record(next.fault, false, nowMs);
          if (window.filter(Boolean).length >= spec.faults) openUntilMs = nowMs + spec.openMs;
        } else if (nowMs < openUntilMs) {
          expect(permission).toBe("refused");
        } else {
          expect(permission).toBe("probe");
          breaker.record(next.fault, true, nowMs);
          successes = next.fault ? 0 : successes + 1;
          if (next.fault) openUntilMs = nowMs + spec.openMs;
          else if (successes === spec.probes) {
            openUntilMs = undefined;
            window = [];
            successes = 0;
          }
        }
      }
    }),
    { numRuns: 500 },
  );
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { BreakerSpec } from "../bridge/pipeline-spec.ts";
import { Breaker, strictest } from "./breaker.ts";

const spec: BreakerSpec = { faults: 3, window: 5, openMs: 1_000, probes: 2, recordFailures: false };

function make(): { breaker: Breaker; changes: string[] } {
  const changes: string[] = [];
  return { breaker: new Breaker(spec, (from, to) => changes.push(`${from}>${to}`)), changes };
}

/** Calls that end as they begin. */
function record(breaker: Breaker, nowMs: number, ...faults: readonly boolean[]): void {
  for (const fault of faults) breaker.record(fault, undefined, nowMs, nowMs);
}

/** The probe that a half-open breaker lets through. */
function probeOf(breaker: Breaker, nowMs: number): symbol {
  const permission = breaker.ask(nowMs);
  if (permission.t !== "probe") throw new Error(`not a probe: ${permission.t}`);
  return permission.probe;
}

describe("a breaker", () => {
  test("opens at the configured number of faults in the window, not before", () => {
    const { breaker, changes } = make();
    record(breaker, 0, true, false, true);
    expect(breaker.state.t).toBe("closed");
    record(breaker, 0, true);
    expect(breaker.state.t).toBe("open");
    expect(changes).toEqual(["closed>open"]);
  });

  test("forgets calls that the window has left behind", () => {
    const { breaker } = make();
    record(breaker, 0, true, true, false, false, false, false, true, true);
    expect(breaker.state.t).toBe("closed");
  });

  test("answers at once while open, and says for how long", () => {
    const { breaker } = make();
    record(breaker, 0, true, true, true);
    expect(breaker.ask(400)).toEqual({ t: "refused", retryAfterMs: 600 });
  });

  test("lets one probe at a time try when the time is over, and closes after enough of them", () => {
    const { breaker, changes } = make();
    record(breaker, 0, true, true, true);
    const first = probeOf(breaker, 1_000);
    expect(breaker.ask(1_000).t).toBe("refused");
    breaker.record(false, first, 1_000, 1_001);
    breaker.record(false, probeOf(breaker, 1_002), 1_002, 1_003);
    expect(breaker.ask(1_004).t).toBe("run");
    expect(changes).toEqual(["closed>open", "open>half_open", "half_open>closed"]);
  });

  test("opens again when a probe breaks", () => {
    const { breaker } = make();
    record(breaker, 0, true, true, true);
    breaker.record(true, probeOf(breaker, 1_000), 1_000, 1_001);
    expect(breaker.ask(2_000)).toMatchObject({ t: "refused", retryAfterMs: 1 });
  });

  test("lets another probe try when one was abandoned", () => {
    const { breaker } = make();
    record(breaker, 0, true, true, true);
    breaker.abandonProbe(probeOf(breaker, 1_000));
    expect(breaker.ask(1_001).t).toBe("probe");
  });

  test("goes on with another policy at once", () => {
    const { breaker } = make();
    breaker.adopt({ ...spec, faults: 1 });
    record(breaker, 0, true);
    expect(breaker.state.t).toBe("open");
  });

  test("says for how long it refuses calls, also while a probe is out", () => {
    const { breaker } = make();
    expect(breaker.refusedForMs(0)).toBeUndefined();
    record(breaker, 0, true, true, true);
    expect(breaker.refusedForMs(400)).toBe(600);
    expect(breaker.refusedForMs(1_000)).toBeUndefined();
    const probe = probeOf(breaker, 1_000);
    expect(breaker.refusedForMs(9_000)).toBe(1_000);
    breaker.record(false, probe, 1_000, 9_000);
    expect(breaker.refusedForMs(9_000)).toBeUndefined();
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

type Step =
  | { t: "ask" }
  | { t: "settle"; call: number; fault: boolean }
  | { t: "abandon"; call: number }
  | { t: "adopt"; spec: BreakerSpec }
  | { t: "wait"; ms: number };

const anyCall = fc.nat({ max: 7 });
const steps: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ t: fc.constant("ask" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({ t: fc.constant("settle" as const), call: anyCall, fault: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ t: fc.constant("abandon" as const), call: anyCall }) },
  {
    weight: 1,
    arbitrary: fc.record({
      t: fc.constant("adopt" as const),
      spec: fc.record({
        faults: fc.integer({ min: 1, max: 3 }),
        window: fc.constantFrom(3, 5),
        openMs: fc.constantFrom(500, 1_000),
        probes: fc.integer({ min: 1, max: 3 }),
        recordFailures: fc.boolean(),
      }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ t: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 700 }) }),
  },
);

/** A call that has not ended. */
interface Call {
  readonly startedMs: number;
  readonly probe: symbol | undefined;
  /** How often the breaker had opened when it was let through. */
  readonly openings: number;
}

/** What a breaker does, said in another way: by lists of calls, and with nothing that has to be kept in step. */
class Model {
  spec = spec;
  nowMs = 0;
  openings = 0;
  /** Calls that count, newest last. */
  window: boolean[] = [];
  openUntilMs: number | undefined;
  successes = 0;
  readonly calls: Call[] = [];

  get probesOut(): number {
    return this.calls.filter(({ probe }) => probe !== undefined).length;
  }

  expected(): "run" | "probe" | "refused" {
    if (this.openUntilMs === undefined) return "run";
    return this.nowMs < this.openUntilMs || this.probesOut > 0 ? "refused" : "probe";
  }

  open(): void {
    this.openings++;
    this.openUntilMs = this.nowMs + this.spec.openMs;
    this.successes = 0;
  }

  settle({ probe, openings }: Call, fault: boolean): void {
    if (probe === undefined) {
      if (openings !== this.openings || this.openUntilMs !== undefined) return;
      this.window = [...this.window, fault].slice(-this.spec.window);
      if (this.window.filter(Boolean).length >= this.spec.faults) this.open();
    } else if (fault) this.open();
    else if (++this.successes >= this.spec.probes) {
      this.openUntilMs = undefined;
      this.window = [];
    }
  }

  adopt(next: BreakerSpec): void {
    if (next.window !== this.spec.window) this.window = [];
    this.spec = next;
  }
}

function take(model: Model, breaker: Breaker, step: Step): void {
  if (step.t === "wait") model.nowMs += step.ms;
  else if (step.t === "adopt") {
    model.adopt(step.spec);
    breaker.adopt(step.spec);
  } else if (step.t === "ask") {
    const expected = model.expected();
    const permission = breaker.ask(model.nowMs);
    expect(permission.t).toBe(expected);
    if (permission.t === "refused") return;
    const probe = permission.t === "probe" ? permission.probe : undefined;
    // What is over when another begins is told apart by time.
    model.calls.push({ startedMs: model.nowMs++, probe, openings: model.openings });
    expect(model.probesOut).toBeLessThanOrEqual(1);
  } else {
    const [call] = model.calls.splice(step.call % Math.max(1, model.calls.length), 1);
    if (call === undefined) return;
    if (step.t === "settle") {
      model.settle(call, step.fault);
      breaker.record(step.fault, call.probe, call.startedMs, model.nowMs);
    } else if (call.probe !== undefined) breaker.abandonProbe(call.probe);
  }
}

/** From wherever it is, a breaker closes when its calls end and its probes succeed. */
function recovers(model: Model, breaker: Breaker): void {
  for (const call of model.calls.splice(0)) {
    if (call.probe !== undefined) breaker.abandonProbe(call.probe);
  }
  for (let tries = 0; breaker.state.t !== "closed"; tries++) {
    expect(tries).toBeLessThan(model.spec.probes);
    model.nowMs += breaker.refusedForMs(model.nowMs) ?? 0;
    breaker.record(false, probeOf(breaker, model.nowMs), model.nowMs, model.nowMs);
  }
}

test("a breaker goes through its states as its description says, however its calls overlap, and never stays in one", () => {
  fc.assert(
    fc.property(fc.array(steps, { maxLength: 120 }), (taken) => {
      const { breaker, changes } = make();
      const model = new Model();
      for (const step of taken) {
        take(model, breaker, step);
        expect(changes.filter((change) => change.endsWith(">open"))).toHaveLength(model.openings);
        expect(breaker.state.t === "closed").toBe(model.openUntilMs === undefined);
      }
      recovers(model, breaker);
    }),
    { numRuns: 1_000 },
  );
});

test("what a probe tells that was forgotten changes nothing of the one that is out", () => {
  const { breaker } = make();
  record(breaker, 0, true, true, true);
  const forgotten = probeOf(breaker, 1_000);
  breaker.abandonProbe(forgotten);
  const out = probeOf(breaker, 1_001);
  breaker.abandonProbe(forgotten);
  breaker.record(false, forgotten, 1_000, 1_002);
  breaker.record(true, forgotten, 1_000, 1_002);
  expect(breaker.state).toMatchObject({ t: "half_open", successes: 0, probe: out });
  expect(breaker.ask(1_002).t).toBe("refused");
});

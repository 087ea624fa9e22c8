import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { LocalHost, RecordInit } from "./local-host.ts";
import { startProbe, utf8 } from "./test/probe.ts";

let host: LocalHost;
beforeAll(async () => {
  host = await startProbe();
}, 180_000);

/** What `compose` in the probe is to do, step by step: a letter and how many bytes of it, of a header the name's and the value's. */
type Script = string;

interface Output {
  key?: string;
  value?: string;
  headers: [name: string, value: string][];
  timestampMs: bigint;
}

function steps(script: Script): { code: string; amount: number; second: number }[] {
  return script.split(" ").map((step) => {
    const [amount = "0", second = "0"] = step.slice(1).split("+");
    return { code: step.charAt(0), amount: Number(amount), second: Number(second) };
  });
}

function encode(script: Script): Uint8Array {
  const bytes = steps(script).flatMap(({ code, amount, second }) => {
    return [code.charCodeAt(0), amount & 255, amount >> 8, second & 255, second >> 8];
  });
  return Uint8Array.from(bytes);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** What comes of a script, by the plainest means. */
function composed(script: Script): Output[] {
  const outputs: Output[] = [];
  let output: Output = { headers: [], timestampMs: 0n };
  for (const [index, { code, amount, second }] of steps(script).entries()) {
    const text = String.fromCharCode(0x61 + (index % 26)).repeat(amount);
    if ("bmprx".includes(code)) {
      output = { headers: [], timestampMs: 0n };
      if (code !== "b") output.key = "compose";
      outputs.push(output);
    }
    if (code === "p") output.value = latin1(encode(script));
    if (code === "r" || code === "v") output.value = text;
    if (code === "m" || code === "w") output.value = "";
    if (code === "c" || code === "d") output.value += text;
    if (code === "k") output.key = text;
    if (code === "h") output.headers.push([text, "z".repeat(second)]);
    if (code === "t") output.timestampMs = -BigInt(amount);
  }
  return outputs;
}

/** Runs each script for a record of one batch, and holds what a protobuf decoder reads against what should come of it. */
function check(...scripts: Script[]): void {
  const records = scripts.map((script): RecordInit => ({ key: utf8("compose"), value: encode(script) }));
  const result = host.transform(records);
  const outputs = (result.batch?.records ?? []).map(
    ({ key, value, headers, timestampMs }): Output => ({
      ...(key && { key: latin1(key) }),
      ...(value && { value: latin1(value) }),
      headers: headers.map((header) => [header.key, latin1(header.value)]),
      timestampMs,
    }),
  );
  const wanted = scripts.map(composed);
  expect(outputs).toEqual(wanted.flat());
  const fanout = wanted.map(({ length }) => length);
  expect(result.fanout).toEqual(fanout.every((count) => count === 1) ? [] : fanout);
}

const edge = (around: number) => fc.integer({ min: around - 6, max: around + 3 });
const amount = fc.oneof(fc.nat(40), fc.nat(600), edge(127), edge(255), edge(16_383));
const small = fc.oneof(fc.nat(40), edge(127));

const step = (code: string, size = amount) => size.map((bytes) => `${code}${bytes}`);
const pieces = fc.array(fc.oneof(step("c", small), step("d")), { maxLength: 4 });
const fields = fc
  .tuple(
    fc.option(step("k")),
    fc.option(
      fc.oneof(
        step("v"),
        pieces.map((list) => ["w", ...list].join(" ")),
      ),
    ),
    fc.option(step("t", fc.nat(0xffff))),
    fc.array(
      fc.tuple(amount, amount).map(([name, value]) => `h${name}+${value}`),
      { maxLength: 3 },
    ),
  )
  .map(([key, value, time, headers]) => [key, value, time, ...headers].filter((field) => field !== null));
const record = fc.oneof(
  fc.constantFrom("p", "x"),
  step("r"),
  pieces.map((list) => ["m", ...list].join(" ")),
  fields
    .chain((list) => fc.shuffledSubarray(list, { minLength: list.length }))
    .map((list) => ["b", ...list].join(" ")),
);
const script = fc.array(record, { minLength: 1, maxLength: 6 }).map((records) => records.join(" "));

describe("an output that fills its room", () => {
  // One by one over more than the room that a batch of this size begins with, so that every field once begins and ends at its last byte.
  test.each([
    "b k0 b k20 b k127 b k128 b k200",
    "b v0 t1 b v20 t1 b v127 t1 b v128 t1",
    "b h0+0 h3+3 h60+60 h120+5 b h10+120",
    "b t1 t1 t1 t1 t1 t1 t1 t1",
    "b w d127 t1 b w d128 k5 b w c3 k5 t1",
    "b w d127 b w d128 b w b w b w c1",
    "m d127 m d128 m c5 m m c1",
    "x p r5 x p r127 x p r128",
  ])("is whole wherever the room ends in %s", (script) => {
    for (let before = 0; before < 420; before += 1) check(`r${before}`, script, script, script);
  });

  test("is whole wherever the room ends, for values whose length takes three bytes", () => {
    for (let before = 0; before < 60; before += 1) {
      for (const length of [16_382, 16_383, 16_384]) {
        check(
          `r${before}`,
          `b w d${length} t1 b w d${length} k1`,
          `m d${length} m d${length} b v${length} t1`,
        );
        check(`r${before}`, `b h${length}+1 h1+${length} t1`, `b k${length} v${length} t1`);
      }
    }
  });

  test("is what its script says, whatever that is", () => {
    fc.assert(
      fc.property(fc.array(script, { minLength: 1, maxLength: 8 }), (scripts) => check(...scripts)),
      { numRuns: 500 },
    );
  });
});

import { expect, test } from "vitest";
import { failuresOf, request } from "../kit/records.ts";
import { startTestServer } from "../kit/test-server.ts";
import { until } from "../kit/until.ts";
import { wat } from "../kit/wat.ts";

/** Fails each record with the code `constructor`, and counts by names that JavaScript's objects have already. */
const oddlyNamed = wat(`(module
  (import "leat" "counter_add" (func $add (param i32 i32 f64)))
  (memory (export "memory") 2)
  (data (i32.const 16) "\\12\\01\\00\\1a\\0d\\12\\0bconstructor")
  (data (i32.const 64) "__proto__constructortoString")
  (func (export "leat_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "leat_transform") (param $start i32) (param $length i32) (result i64)
    (if (i32.eqz (local.get $length)) (then (return (i64.const 0))))
    (call $add (i32.const 64) (i32.const 9) (f64.const 2))
    (call $add (i32.const 73) (i32.const 11) (f64.const 3))
    (call $add (i32.const 84) (i32.const 8) (f64.const 4))
    (i64.const 0x1000000012)))`);

test("codes and counters that are named like what all objects have are told and counted like others", async () => {
  await using kit = await startTestServer({ http: true, modules: { odd: oddlyNamed } });
  for (let call = 0; call < 3; call++)
    expect(failuresOf(await kit.raw.transform(request("odd", "a")))).toEqual(["0 constructor@odd"]);
  const [stage] = kit.server.stats.pipeline("odd").stages;
  expect([...(stage?.failures ?? [])]).toEqual([["constructor", 3]]);
  await until(() => stage?.counters.get("toString") === 12, "all counters have come");
  expect([...(stage?.counters ?? [])]).toEqual([
    ["__proto__", 6],
    ["constructor", 9],
    ["toString", 12],
  ]);

  const told = (await kit.pipelineMetrics("odd")).stages[0];
  expect(Object.entries(told?.failures ?? {})).toEqual([["constructor", 3n]]);
  // `__proto__` is no property of the client's plain object, whatever the server sent.
  expect(Object.entries(told?.counters ?? {})).toEqual(
    expect.arrayContaining([
      ["constructor", 9],
      ["toString", 12],
    ]),
  );
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);

  const metrics = await (await fetch(`${kit.url}/metrics`)).text();
  for (const name of ["__proto__", "constructor", "toString"])
    expect(metrics).toMatch(new RegExp(`"${name}"`));
});

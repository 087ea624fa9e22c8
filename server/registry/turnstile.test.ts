import { expect, test } from "vitest";
import { Turnstile } from "./turnstile.ts";

test("changes go through one at a time, in order, whether those before succeed or not", async () => {
  const turnstile = new Turnstile();
  const steps: string[] = [];
  const gates = new Map(["a", "b", "c"].map((name) => [name, Promise.withResolvers<void>()]));
  const change = (name: string, fails: boolean) =>
    turnstile.run(async () => {
      steps.push(`${name} begins`);
      await gates.get(name)?.promise;
      steps.push(`${name} ends`);
      if (fails) throw new Error(`${name} failed`);
      return name;
    });
  const all = [change("a", false), change("b", true), change("c", false)];
  const results = Promise.allSettled(all);
  for (const name of ["c", "b", "a"]) gates.get(name)?.resolve();
  expect(await results).toEqual([
    { status: "fulfilled", value: "a" },
    { status: "rejected", reason: new Error("b failed") },
    { status: "fulfilled", value: "c" },
  ]);
  expect(steps).toEqual(["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"]);
});

test("a change that throws at once is a change that failed", async () => {
  const turnstile = new Turnstile();
  const thrown = turnstile.run(() => {
    throw new Error("at once");
  });
  await expect(thrown).rejects.toThrow("at once");
  expect(await turnstile.run(async () => 1)).toBe(1);
});

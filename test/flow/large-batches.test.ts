import { afterAll, beforeAll, expect, test } from "vitest";
import { countdown, numbered, open, request, valuesOf } from "../kit/records.ts";
import { startTestServer, type TestServer } from "../kit/test-server.ts";

let kit: TestServer;

const slotBytes = 65_536;

beforeAll(async () => {
  kit = await startTestServer({
    limits: { slotInputBytes: slotBytes, slotOutputBytes: slotBytes, maxCoalescedBytes: slotBytes },
    modules: { program: "program", marked: "marked" },
    pipelines: { twice: ["program", "program"] },
  });
});

afterAll(async () => {
  await kit[Symbol.asyncDispose]();
});

/** Every byte is told by its place. */
function value(length: number): string {
  return `m${Buffer.from(Uint8Array.from({ length: length - 1 }, (_, index) => 97 + ((index * 31) % 26))).toString()}`;
}

test("batches and results of all sizes around a slot's come through whole", async () => {
  for (let length = slotBytes - 110; length <= slotBytes + 30; length += 1) {
    const sent = value(length);
    const result = await kit.raw.transform(request("program", sent));
    if (valuesOf(result)[0] !== sent.slice(1)) throw new Error(`a value of ${length} bytes was changed`);
  }
});

test("a small batch with a large result, a large batch with a small one, and both", async () => {
  const grown = value(30_000);
  expect(valuesOf(await kit.raw.transform(request("program", `9${grown}`)))).toEqual(
    Array.from({ length: 9 }, (_, cut) => grown.slice(cut)),
  );
  const large = value(2_000_000);
  expect(valuesOf(await kit.raw.transform(request("program", `0${large}`, "ma")))).toEqual(["a"]);
  expect(valuesOf(await kit.raw.transform(request("program", large, "ma")))).toEqual([large.slice(1), "a"]);
  expect(valuesOf(await kit.raw.transform(request("twice", `m${large}`)))).toEqual([large.slice(1)]);
});

test("large and small batches of one stream keep their order and their bytes", async () => {
  const sizes = Array.from({ length: 60 }, (_, index) => [10, 70_000, 300, 150_000, 64_000][index % 5] ?? 0);
  const stream = kit.raw.stream();
  stream.write(open("program"));
  const reading = stream.rest();
  sizes.forEach((size, index) => {
    stream.write(numbered(index + 1, value(size), `m${index}`));
  });
  stream.halfClose();
  const [, ...results] = await reading;
  results.forEach((message, index) => {
    if (message.case !== "result" || message.value.outcome.case !== "result") throw new Error("no result");
    expect(message.value.sequence).toBe(BigInt(index + 1));
    const [first, second] = valuesOf(message.value.outcome.value);
    expect(second).toBe(String(index));
    if (first !== value(sizes[index] ?? 0).slice(1)) throw new Error(`batch ${index + 1} was changed`);
  });
  expect(results).toHaveLength(sizes.length);
});

test("failures in a large batch name the right records, and the rest is whole", async () => {
  const large = value(20_000);
  const values = Array.from({ length: 30 }, (_, index) =>
    index % 10 === 3 ? "t" : index % 10 === 6 ? "x" : large,
  );
  const result = await kit.raw.transform(request("program", ...values));
  expect(result.failures.map(({ index, code }) => `${index} ${code}`)).toEqual([
    "3 trap",
    "6 refused",
    "13 trap",
    "16 refused",
    "23 trap",
    "26 refused",
  ]);
  expect(valuesOf(result).every((each) => each === large.slice(1))).toBe(true);
  expect(result.batch?.records).toHaveLength(24);
});

test("ten thousand records, the most there may be, are one batch", async () => {
  const values = Array.from({ length: 10_000 }, (_, index) => `m${index}`);
  expect(valuesOf(await kit.raw.transform(request("program", ...values)))).toEqual(
    values.map((each) => each.slice(1)),
  );
});

test("a module that works in place is given bytes of its own", async () => {
  const sent = countdown(1);
  const before = Buffer.from(sent);
  await kit.raw.transform(request("marked", "+", sent));
  expect(Buffer.from(sent)).toEqual(before);
});

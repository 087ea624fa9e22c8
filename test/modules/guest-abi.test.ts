/** Guests written by hand from `docs/guest-abi.md`, that page's own examples, and the kit's modules, under the server's host. */

import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { exampleNames, loadExample } from "@leat/examples";
import { RecordBatchSchema, TransformResultSchema } from "@leat/proto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultLimits } from "../../server/limits.ts";
import { compileModule } from "../../server/module/compile.ts";
import { type GuestHost, GuestInstance } from "../../server/module/instance.ts";
import { walkBatch } from "../../server/record/batch.ts";
import { ResultView, readResult } from "../../server/record/result.ts";
import { Cursor } from "../../server/record/wire.ts";
import { assembleWat, compileC, missingCompiler, moduleSource } from "./assemble.ts";

/** A guest in the server's own hands, without the worker around it. */
class Hosted {
  readonly counters: [name: string, delta: number][] = [];
  readonly logged: string[] = [];
  readonly begun: number[] = [];
  readonly #guest: GuestInstance;

  private constructor(module: WebAssembly.Module, configJson: string) {
    const host: GuestHost = {
      beginRecord: (index) => void this.begun.push(index),
      log: (_level, text) => void this.logged.push(text),
      nowMs: Date.now,
      counterAdd: (name, delta) => void this.counters.push([name, delta]),
    };
    this.#guest = GuestInstance.create(module, configJson, host, defaultLimits);
  }

  static async start(wasm: Uint8Array, configJson = ""): Promise<Hosted> {
    return new Hosted((await compileModule(wasm, defaultLimits)).module, configJson);
  }

  /** Runs a batch that the server would let in, and returns a result that it would accept. */
  transform(batch: Uint8Array): Uint8Array {
    const cursor = new Cursor();
    cursor.reset(batch, 0, batch.length);
    const inputs = walkBatch(cursor);
    this.begun.length = 0;
    const pointer = this.#guest.alloc(batch.length);
    this.#guest.bytes.set(batch, pointer);
    this.#guest.transform(pointer, batch.length);
    const { outputOffset, outputLength } = this.#guest;
    const output = this.#guest.bytes.slice(outputOffset, outputOffset + outputLength);
    cursor.reset(output, 0, output.length);
    readResult(cursor, inputs, defaultLimits, new ResultView());
    expect(this.begun).toEqual(Array.from({ length: inputs }, (_, index) => index));
    return output;
  }
}

/** The bytes of a code block of the page, by the words behind its opening fence. */
function workedBytes(name: string): Uint8Array<ArrayBuffer> {
  const page = readFileSync(new URL("../../docs/guest-abi.md", import.meta.url), "utf8");
  const block = page.split(`\`\`\`hex ${name}\n`)[1]?.split("```")[0] ?? "";
  // Everything behind three spaces or more is a remark, but for the line's own indentation.
  const digits = block.split("\n").map((line) => line.trim().split(/\s{3,}/)[0]);
  return Uint8Array.from(Buffer.from(digits.join("").replaceAll(" ", ""), "hex"));
}

/** Records as bytes: all that protobuf allows and encoders seldom write, too. */
const records: fc.Arbitrary<number[][][]> = fc.array(
  fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((content) => field([0x12], content)),
      fc.uint8Array({ maxLength: 20 }).map((content) => field([0x0a], content)),
      fc.uint8Array({ maxLength: 200 }).map((content) => field([0x92, 0x80, 0x00], content)),
      fc.uint8Array({ maxLength: 20 }).map((content) => field([0xf2, 0x01], content)),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((time) => [0x20, ...varint(time)]),
      fc.constantFrom<number[][]>(
        [0x1a, 5, 0x0a, 1, 0x61, 0x12, 0],
        [0x2d, 1, 2, 3, 4],
        [0x31, 1, 2, 3, 4, 5, 6, 7, 8],
      ),
    ),
    { maxLength: 6 },
  ),
  { maxLength: 20 },
);

function field(tag: number[], content: Uint8Array): number[] {
  return [...tag, ...varint(BigInt(content.length)), ...content];
}

function varint(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return [...bytes, Number(rest)];
}

function batchOf(encoded: readonly (readonly number[][])[]): Uint8Array {
  return Uint8Array.from(encoded.flatMap((fields) => field([0x0a], Uint8Array.from(fields.flat()))));
}

/** What uppercase should make of a batch, by a full decoder. */
function expected(batch: Uint8Array, isFailed: (value: Uint8Array) => boolean) {
  const { records: inputs } = fromBinary(RecordBatchSchema, batch);
  const failed = inputs.map(({ value }) => value !== undefined && isFailed(value));
  const outputs = inputs
    .filter((_, index) => !failed[index])
    .map(({ value, ...rest }) => ({
      ...rest,
      ...(value && { value: value.map((byte) => (byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte)) }),
    }));
  return { outputs, failed };
}

const modules = [
  {
    name: "uppercase.wat",
    missing: undefined,
    build: () => assembleWat(moduleSource("uppercase.wat")),
    isFailed: () => false,
  },
  {
    name: "uppercase.c",
    missing: missingCompiler,
    build: () => compileC(moduleSource("uppercase.c")),
    isFailed: (value: Uint8Array) => value.includes(0),
  },
  {
    name: "the kit's uppercase",
    missing: undefined,
    build: () => loadExample("uppercase"),
    isFailed: () => false,
  },
];

for (const { name, missing, build, isFailed } of modules) {
  const title = missing === undefined ? name : `${name} (skipped: ${missing})`;
  if (missing !== undefined) console.warn(`${name} is not tested: ${missing}`);

  describe.skipIf(missing !== undefined)(title, () => {
    test("does to any batch what a full decoder would", async () => {
      const guest = await Hosted.start(await build());
      fc.assert(
        fc.property(records, (encoded) => {
          // A record whose earlier value holds a zero byte may fail as well: leave repeated ones to the guests that cannot fail.
          const once = name === "uppercase.c" ? encoded.map(keepOneValue) : encoded;
          const batch = batchOf(once);
          const { outputs, failed } = expected(batch, isFailed);
          const result = fromBinary(TransformResultSchema, guest.transform(batch));
          const plain = toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: outputs }));
          expect(toBinary(RecordBatchSchema, result.batch ?? create(RecordBatchSchema))).toEqual(plain);
          expect(result.failures.map(({ index }) => index)).toEqual(
            failed.flatMap((is, index) => (is ? [index] : [])),
          );
          expect(result.fanout).toEqual(failed.includes(true) ? failed.map((is) => (is ? 0 : 1)) : []);
        }),
        { numRuns: 300 },
      );
    });

    test("makes of the page's example what the page says", async () => {
      const guest = await Hosted.start(await build());
      expect(guest.transform(workedBytes("RecordBatch"))).toEqual(workedBytes("TransformResult uppercase"));
    });

    test("takes batches of the largest size, again and again", async () => {
      const guest = await Hosted.start(await build());
      const value = new Uint8Array(1_024).fill(0x62);
      const batch = batchOf(Array.from({ length: 3_900 }, () => [field([0x12], value)]));
      for (let round = 0; round < 20; round += 1) {
        const { batch: output } = fromBinary(TransformResultSchema, guest.transform(batch));
        expect(output?.records.length).toBe(3_900);
        expect(output?.records[3_899]?.value?.[1_023]).toBe(0x42);
      }
    });
  });
}

function keepOneValue(fields: readonly number[][]): number[][] {
  const isValue = (bytes: number[]) => bytes[0] === 0x12 || bytes[0] === 0x92;
  return fields.filter((bytes, index) => !isValue(bytes) || fields.findIndex(isValue) === index);
}

describe.skipIf(missingCompiler !== undefined)("uppercase.c", () => {
  test("refuses a configuration, and says so in the log", async () => {
    const wasm = await compileC(moduleSource("uppercase.c"));
    await expect(Hosted.start(wasm, '{"a":1}')).rejects.toThrow("this module takes no configuration");
    await expect(Hosted.start(wasm, " { } ")).resolves.toBeInstanceOf(Hosted);
  });

  test("counts its records", async () => {
    const guest = await Hosted.start(await compileC(moduleSource("uppercase.c")));
    guest.transform(batchOf([[], []]));
    expect(guest.counters).toEqual([["records", 2]]);
  });
});

describe("the page's worked bytes", () => {
  test("are what protobuf makes of what the page says", () => {
    const utf8 = (text: string) => new TextEncoder().encode(text);
    const first = {
      key: utf8("k"),
      value: utf8("hi"),
      headers: [{ key: "a", value: utf8("1") }],
      timestampMs: 5n,
    };
    const batch = create(RecordBatchSchema, { records: [first, { key: utf8("k") }] });
    expect(workedBytes("RecordBatch")).toEqual(toBinary(RecordBatchSchema, batch));
    const split = create(TransformResultSchema, {
      batch: { records: [{ value: utf8("h") }, { value: utf8("i") }] },
      fanout: [2, 0],
      failures: [{ index: 1, code: "tombstone", message: "no value" }],
    });
    expect(workedBytes("TransformResult split")).toEqual(toBinary(TransformResultSchema, split));
  });
});

describe("the example modules", () => {
  const configs: Partial<Record<(typeof exampleNames)[number], unknown>> = {
    filter: { expression: "true" },
    "json-redact": { fields: ["secret"] },
  };

  test.each(exampleNames)("%s is accepted, started and run by the server's host", async (name) => {
    const guest = await Hosted.start(await loadExample(name), JSON.stringify(configs[name] ?? {}));
    guest.transform(workedBytes("RecordBatch"));
    guest.transform(new Uint8Array());
    fc.assert(
      fc.property(records, (encoded) => void guest.transform(batchOf(encoded))),
      { numRuns: 100 },
    );
  });
});

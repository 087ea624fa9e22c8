import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { LocalHost } from "./local-host.ts";
import { command, failures, startProbe, utf8, values } from "./test/probe.ts";

const whole = {
  headers: [
    { key: "a", value: utf8("1") },
    { key: "wanted", value: utf8("2") },
    { key: "a", value: utf8("") },
  ],
  timestampMs: -5n,
};

describe("what a transform emits", () => {
  test("an unchanged record keeps every field", async () => {
    const host = await startProbe();
    const result = host.transform([command("pass", "v", whole)]);
    expect(result.batch?.records[0]).toMatchObject(command("pass", "v", whole));
    expect(result.fanout).toEqual([]);
  });

  test("a new value leaves key, headers and time as they were", async () => {
    const host = await startProbe({ config: { prefix: "→" } });
    const result = host.transform([command("text", "v", whole)]);
    expect(result.batch?.records[0]).toMatchObject(command("text", "→v", whole));
  });

  test("a record without a value gets one, and one with a value can lose it", async () => {
    const host = await startProbe();
    const result = host.transform([command("text", undefined, whole), command("tombstone", "v", whole)]);
    expect(values(result)).toEqual(["", undefined]);
    expect(result.batch?.records[1]).toMatchObject(command("tombstone", undefined, whole));
  });

  test("fanout tells how many outputs each input gave, and is left out when each gave one", async () => {
    const host = await startProbe();
    const mixed = host.transform([
      command("pass", "x"),
      command("drop"),
      command("split", "a,b,,c"),
      command("pass", "y"),
    ]);
    expect(mixed.fanout).toEqual([1, 0, 4, 1]);
    expect(values(mixed)).toEqual(["x", "a", "b", "", "c", "y"]);
    expect(host.transform([command("pass", "x"), command("split", "a")]).fanout).toEqual([]);
    expect(host.transform([]).fanout).toEqual([]);
    expect(host.transform([command("drop")]).fanout).toEqual([0]);
  });

  test("drop takes back what was emitted before", async () => {
    const host = await startProbe();
    const result = host.transform([
      command("pass", "x"),
      command("emit and drop", "y"),
      command("pass", "z"),
    ]);
    expect(values(result)).toEqual(["x", "z"]);
    expect(result.fanout).toEqual([1, 0, 1]);
  });

  test("a record is composed field by field", async () => {
    const host = await startProbe();
    const result = host.transform([command("build", "x", whole)]);
    expect(result.fanout).toEqual([3]);
    expect(result.batch?.records[0]).toMatchObject({
      key: utf8("build"),
      value: utf8("written 4.5"),
      headers: [...whole.headers, { key: "added", value: utf8("ä") }],
      timestampMs: -5n,
    });
    expect(result.batch?.records[1]).toMatchObject({
      key: utf8("k"),
      value: utf8("v"),
      headers: [],
      timestampMs: -1n,
    });
    expect(result.batch?.records[2]).toMatchObject({ headers: [], timestampMs: 0n });
    expect(result.batch?.records[2]?.key).toBeUndefined();
    expect(result.batch?.records[2]?.value).toBeUndefined();
  });

  test("a value that is written piece by piece is complete, however long it gets", async () => {
    const host = await startProbe();
    for (const length of [0, 1, 100, 126, 127, 128, 200, 5_000, 20_000, 3_000_000]) {
      const text = `"\n\u0001ü\\${"x".repeat(length)}`;
      const result = host.transform([command("write", text, whole), command("pass", "next")]);
      expect(values(result)).toEqual([`${JSON.stringify(text)} 1e+21 null -0.5 3`, "next"]);
      expect(result.batch?.records[0]?.timestampMs).toBe(-5n);
    }
  });

  test("an output that outgrows its room keeps what it has", async () => {
    const host = await startProbe();
    const result = host.transform([command("pass", "x"), command("grow", "20000"), command("grow", "3")]);
    expect(result.fanout).toEqual([1, 20_000, 3]);
    const expected = Array.from({ length: 20_000 }, (_, index) => `output ${index}`);
    expect(values(result)).toEqual(["x", ...expected, "output 0", "output 1", "output 2"]);
  });
});

describe("what a transform fails", () => {
  test("a failure carries index, code, message and whether to retry", async () => {
    const host = await startProbe();
    const result = host.transform([command("fail", "ü"), command("pass", "x"), command("fail", "")]);
    expect(failures(result)).toEqual([
      [0, "refused", "because ü", true],
      [2, "refused", "because ", true],
    ]);
    expect(result.fanout).toEqual([0, 1, 0]);
    expect(values(result)).toEqual(["x"]);
  });

  test("a failed record gives nothing, whatever was emitted before and after", async () => {
    const host = await startProbe();
    const result = host.transform([command("fail late", "x"), command("pass", "y")]);
    expect(failures(result)).toEqual([[0, "late", "", false]]);
    expect(result.fanout).toEqual([0, 1]);
    expect(values(result)).toEqual(["y"]);
  });

  test("only the first failure of a record counts", async () => {
    const host = await startProbe();
    expect(failures(host.transform([command("fail twice")]))).toEqual([[0, "first", "1", false]]);
  });

  test("a code that the host would refuse traps, with the rule in the log", async () => {
    const host = await startProbe();
    expect(() => host.transform([command("bad code")])).toThrow(WebAssembly.RuntimeError);
    expect(host.logged[0]?.text).toContain("a failure code must be 1 to 64 lower case letters");
  });
});

describe("what a transform sees", () => {
  test("headers, time and the absence of fields", async () => {
    const host = await startProbe();
    const time = 1_700_000_000_000n;
    const result = host.transform([
      command("describe", "v", { ...whole, timestampMs: time }),
      command("describe"),
      command("describe", "", { timestampMs: -(2n ** 63n) }),
    ]);
    expect(values(result)).toEqual([
      `value v, time ${time}, a=1, wanted=2, a=, wanted is 2`,
      "value unset, time 0, not wanted",
      `value , time ${-(2n ** 63n)}, not wanted`,
    ]);
  });

  test("each record is announced to the host before it is worked on", async () => {
    const host = await startProbe();
    expect(() => host.transform([command("pass"), command("pass"), command("bad code")])).toThrow();
    expect(host.currentRecord).toBe(2);
  });

  test("the log, the clock, the console and random numbers need nothing but the host's own imports", async () => {
    const host = await startProbe({ nowMs: () => 42.7 });
    expect(values(host.transform([command("log", "ü")]))).toEqual(["42 random"]);
    expect(host.logged).toEqual([
      { level: 0, text: "debug ü" },
      { level: 1, text: "console" },
      { level: 3, text: "ouch" },
    ]);
  });

  test("counters reach the host with each batch", async () => {
    const host = await startProbe();
    host.transform([command("pass"), command("drop")]);
    host.transform([]);
    host.transform([command("pass")]);
    expect(host.counters).toEqual(new Map([["seen", 3]]));
  });

  test("a hash is SHA-256", async () => {
    const host = await startProbe();
    const { createHash } = await import("node:crypto");
    const texts = [
      "",
      "abc",
      ..."55 56 63 64 65 119 120 1000".split(" ").map((length) => "x".repeat(Number(length))),
    ];
    const expected = texts.map((text) => createHash("sha256").update(text).digest("hex"));
    expect(values(host.transform(texts.map((text) => command("hash", text))))).toEqual(expected);
  });

  test("an index outside of a view traps, with the reason in the log", async () => {
    const host = await startProbe();
    expect(() => host.transform([command("out of range", "abc")])).toThrow(WebAssembly.RuntimeError);
    expect(host.logged[0]?.text).toContain("Bytes: index out of range");
  });
});

describe("unusual encodings", () => {
  const keyField = (text: string) => [0x0a, text.length, ...utf8(text)];
  const batchOf = (record: number[]) => Uint8Array.from([0x0a, record.length, ...record]);

  test("of a repeated key or value the last one counts, and only it goes on", async () => {
    const host = await startProbe();
    const record = [0x12, 1, 0x61, ...keyField("pass"), ...keyField("text"), 0x12, 2, 0x62, 0x63, 0x20, 7];
    const output = host.transformBytes(batchOf(record));
    expect([...output]).toEqual([0x0a, 14, 0x0a, 12, ...keyField("text"), 0x12, 2, 0x62, 0x63, 0x20, 7]);
  });

  test("a tag that is longer than it must be hides nothing", async () => {
    const host = await startProbe({ config: { prefix: "seen " } });
    // The decoy is a plain value; the overlong tag behind it is the same field again.
    const record = [...keyField("text"), 0x12, 5, ...utf8("decoy"), 0x92, 0x80, 0x00, 4, ...utf8("real")];
    const output = host.transformBytes(batchOf(record));
    expect(Buffer.from(output).toString("latin1")).not.toMatch(/decoy/);
    expect(Buffer.from(output).toString("latin1")).toContain("seen real");
  });

  test("unknown fields go on unchanged", async () => {
    const host = await startProbe();
    const unknown = [0x2d, 1, 2, 3, 4, 0xf2, 0x01, 1, 9, 0x31, 1, 2, 3, 4, 5, 6, 7, 8, 0x38, 0x96, 0x01];
    const output = host.transformBytes(batchOf([...unknown, ...keyField("text"), 0x12, 1, 0x61, ...unknown]));
    const expected = [...unknown, ...keyField("text"), 0x12, 1, 0x61, ...unknown];
    expect([...output.subarray(4)]).toEqual(expected);
  });

  test.each([
    ["a length beyond the record", [0x12, 9, 1]],
    ["a varint that does not end", [0x20, 0x80, 0x80]],
    ["a group", [0x2b, 0x2c]],
    ["a known field of another type", [0x10, 1]],
    ["field number 0", [0x02, 0]],
  ])("a record that is malformed by %s fails and the others go on", async (_name, record) => {
    const host = await startProbe();
    const good = [0x0a, 6, ...keyField("pass")];
    const batch = Uint8Array.from([...good, 0x0a, record.length, ...record, ...good]);
    const { TransformResultSchema } = await import("@leat/proto");
    const { fromBinary } = await import("@bufbuild/protobuf");
    const result = fromBinary(TransformResultSchema, host.transformBytes(batch));
    expect(result.failures.map(({ index, code }) => [index, code])).toEqual([[1, "malformed_record"]]);
    expect(result.fanout).toEqual([1, 0, 1]);
  });

  test("a batch that is no batch traps", async () => {
    const host = await startProbe();
    expect(() => host.transformBytes(Uint8Array.from([0x0a, 5, 1]))).toThrow(WebAssembly.RuntimeError);
    expect(() => host.transformBytes(Uint8Array.from([0x10, 5]))).toThrow(WebAssembly.RuntimeError);
  });
});

describe("memory", () => {
  const encode = (records: Parameters<LocalHost["transform"]>[0]) =>
    toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [...records] }));

  test("stays as it is over a million batches", async () => {
    const host = await startProbe();
    const batch = encode([command("text", "some value"), command("split", "a,b"), command("fail", "x")]);
    host.run(batch);
    const before = host.memoryBytes;
    for (let index = 0; index < 1_000_000; index += 1) host.run(batch);
    expect(host.memoryBytes).toBe(before);
    expect(values(host.transform([command("text", "still well")]))).toEqual(["still well"]);
  }, 60_000);

  test("grows for a large batch once, and not again", async () => {
    const host = await startProbe();
    const before = host.memoryBytes;
    const large = encode(Array.from({ length: 4_000 }, () => command("text", "x".repeat(1_000))));
    host.run(large);
    const grown = host.memoryBytes;
    expect(grown).toBeGreaterThan(before);
    expect(grown).toBeLessThan(5 * large.length);
    for (let index = 0; index < 50; index += 1) host.run(large);
    expect(host.memoryBytes).toBe(grown);
  });

  test("strings, maps and arrays of the language work, and go with their record", async () => {
    const host = await startProbe();
    const text = "the cat and the dog and the bird";
    const sum = utf8(text).reduce((total, byte) => total + byte, 0);
    const records = Array.from({ length: 2_000 }, () => command("allocate", text));
    for (let index = 0; index < 10; index += 1) {
      const result = host.transform(records);
      expect(new Set(values(result))).toEqual(new Set([`and=2,bird=1,cat=1,dog=1,the=3;${sum}`]));
    }
    // One batch's garbage would be some 4 MB if it were kept until the batch ends.
    expect(host.memoryBytes).toBeLessThan(1_000_000);
  });

  test("what was allocated at the start stays and may be written to", async () => {
    const host = await startProbe();
    for (let index = 0; index < 1_000; index += 1)
      host.transform([command("pass", "fill the arena with something")]);
    expect(values(host.transform([command("kept memory", "abc")]))).toEqual(["4 1 kept"]);
    expect(values(host.transform([command("kept memory", "ab")]))).toEqual(["6 2 kept"]);
  });

  test.each(["keep a string", "grow a kept list"])(
    "to %s beyond its record traps, with the remedy in the log",
    async (what) => {
      const host = await startProbe();
      expect(() => host.transform([command(what, "x")])).toThrow(WebAssembly.RuntimeError);
      expect(host.logged[0]?.text).toContain("allocate it in configure()");
    },
  );
});

describe("configuration", () => {
  test.each([
    [{ prefix: 7 }, "'prefix' must be a string, but is a number"],
    [{ level: 10 }, "'level' must be a whole number from 1 to 9, but is a number"],
    [{ level: 1.5 }, "'level' must be a whole number from 1 to 9, but is a number"],
    [{ ratio: "x" }, "'ratio' must be a number, but is a string"],
    [{ fields: ["a", 1] }, "'fields' must be a list of strings, but is a number"],
    [{ fields: {} }, "'fields' must be a list of strings, but is an object"],
    [{ mode: "medium" }, "'mode' must be one of slow, fast, but is medium"],
    [{ nested: [] }, "'nested' must be an object, but is an array"],
    [{ nested: { flag: 1 } }, "'nested.flag' must be true or false, but is a number"],
    [{ nested: { flog: 1 } }, "'nested.flog' is no key of this module's configuration; known are flag"],
    [
      { prefixx: "a" },
      "'prefixx' is no key of this module's configuration; known are prefix, level, ratio, fields, mode, nested",
    ],
    [[], "the configuration must be an object, but is an array"],
  ])("%j is refused with the key and the reason", async (config, reason) => {
    await expect(startProbe({ config })).rejects.toThrow(reason);
  });

  test("all kinds of values are accepted", async () => {
    const config = {
      prefix: "ü\n",
      level: 9,
      ratio: -1.5e3,
      fields: ["a"],
      mode: "fast",
      nested: { flag: true },
    };
    const host = await startProbe({ config });
    expect(values(host.transform([command("text", "x")]))).toEqual(["ü\nx"]);
  });

  test("null stands for absence", async () => {
    await expect(startProbe({ config: { prefix: null, level: null } })).resolves.toBeInstanceOf(LocalHost);
  });
});

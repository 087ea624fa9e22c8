/** Redaction by example, and against a model in JavaScript on generated documents and paths. */

import { LocalHost } from "@leat/assemblyscript/local-host";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadExample } from "./index.ts";
import { failure, run, start } from "./test/run.ts";

type Step = string | undefined; // a member's name, or undefined for each element
type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

const name = fc.constantFrom("a", "b", "c.d", "é");
const { document } = fc.letrec<{ document: Json }>((tie) => ({
  document: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.constantFrom<Json>(null, true, 1.5, "text", ""),
    fc.array(tie("document"), { maxLength: 4 }),
    fc.dictionary(name, tie("document"), { noNullPrototype: true }),
  ),
}));
const step = fc.option(name, { nil: undefined });
const paths = fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 });

/** The path as the module's configuration writes it. */
function written(path: readonly Step[]): string {
  return path
    .map((part, index) => (part === undefined ? "[]" : `${index > 0 ? "." : ""}${part.replace(".", "\\.")}`))
    .join("");
}

/** The document without what the paths lead to; `replacement` stands in its place if there is one. */
function redacted(value: Json, at: readonly (readonly Step[])[], replacement: string | undefined): Json {
  const below = (part: Step) => at.filter(([first]) => first === part).map((path) => path.slice(1));
  const visit = (item: Json, rest: Step[][]): Json[] => {
    if (rest.some((path) => path.length === 0)) return replacement === undefined ? [] : [replacement];
    return [redacted(item, rest, replacement)];
  };
  if (Array.isArray(value)) return value.flatMap((item) => visit(item, below(undefined)));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, item]) => visit(item, below(key)).map((kept) => [key, kept])),
  );
}

describe.each(["mask", "remove"] as const)("json-redact, %s", (action) => {
  test("does what the model does, whatever the document, the paths and the white space", async () => {
    const wasm = await loadExample("json-redact");
    await fc.assert(
      fc.asyncProperty(
        fc.array(document, { minLength: 1 }),
        paths,
        fc.nat(2),
        async (documents, fields, indent) => {
          const config = { fields: fields.map(written), action, mask: "gone" };
          const host = await LocalHost.start(wasm, { config });
          const values = documents.map((value) =>
            new TextEncoder().encode(JSON.stringify(value, undefined, indent)),
          );
          const result = host.transform(values.map((value) => ({ value })));
          const outputs = result.batch?.records.map(({ value }) =>
            JSON.parse(new TextDecoder().decode(value)),
          );
          const replacement = action === "mask" ? "gone" : undefined;
          expect(outputs).toEqual(documents.map((value) => redacted(value, fields, replacement)));
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("json-redact", () => {
  const person =
    '{ "name":"Ann", "email" : "ann@x.y","age":41.50,"users":[{"email":"b@x.y","id":1},{"id":2}]}';

  test("masks fields and leaves the rest of the text as it is", async () => {
    const host = await start("json-redact", { fields: ["email", "users[].email"] });
    expect(run(host, person)).toEqual([
      '{ "name":"Ann", "email" : "***","age":41.50,"users":[{"email":"***","id":1},{"id":2}]}',
    ]);
  });

  test("removes fields with their commas", async () => {
    const host = await start("json-redact", { fields: ["a", "b.c", "d[]"], action: "remove" });
    const inputs = [
      '{"a":1,"x":2}',
      '{"x":2, "a":1 }',
      '{"x":2,"a":1,"y":3}',
      '{ "a":1 }',
      '{"a":1,"a":2,"a":3}',
      '{"a":1,"a":2,"x":3,"a":4,"y":5}',
      '{"b":{"c":1,"d":2},"d":[1,2],"a":0}',
      '{"b":{"c":1}}',
    ];
    const outputs = run(host, ...inputs);
    expect(outputs.map((text) => JSON.parse(text ?? ""))).toEqual([
      { x: 2 },
      { x: 2 },
      { x: 2, y: 3 },
      {},
      {},
      { x: 3, y: 5 },
      { b: { d: 2 }, d: [] },
      { b: {} },
    ]);
    expect(outputs[1]).toBe('{"x":2 }');
  });

  test("hashes with a salt: what a string says, or the text of another value", async () => {
    const { createHash } = await import("node:crypto");
    const hash = (text: string) => `sha256:${createHash("sha256").update(`salt${text}`).digest("hex")}`;
    const host = await start("json-redact", { fields: ["a", "b"], action: "hash", salt: "salt" });
    expect(run(host, '{"a":"x\\u0079","b":[1, 2]}')).toEqual([
      `{"a":"${hash("xy")}","b":"${hash("[1, 2]")}"}`,
    ]);
  });

  test("finds a field however its name is escaped, and every one of several", async () => {
    const host = await start("json-redact", { fields: ["email", "dotted\\.name", "q[]"], mask: '"' });
    expect(run(host, '{"em\\u0061il":1,"email":2,"dotted.name":3,"dotted":{"name":4},"q":[5,[6]]}')).toEqual([
      '{"em\\u0061il":"\\"","email":"\\"","dotted.name":"\\"","dotted":{"name":4},"q":["\\"","\\""]}',
    ]);
  });

  test("reaches into arrays of arrays and into a value that is an array itself", async () => {
    const host = await start("json-redact", { fields: ["[].a", "m[][].b"] });
    expect(run(host, '[{"a":1},2,{"a":[3]}]', '{"m":[[{"b":1}],[]],"a":2}')).toEqual([
      '[{"a":"***"},2,{"a":"***"}]',
      '{"m":[[{"b":"***"}],[]],"a":2}',
    ]);
  });

  test("passes on what has none of the fields, byte by byte", async () => {
    const host = await start("json-redact", { fields: ["secret"] });
    expect(run(host, ' [1 , "a"] ', "null", undefined, '{"a":{"secret":1}}')).toEqual([
      ' [1 , "a"] ',
      "null",
      undefined,
      '{"a":{"secret":1}}',
    ]);
  });

  test("fails what is no JSON rather than letting it through", async () => {
    const host = await start("json-redact", { fields: ["a"] });
    expect(failure(host, '{"a":1')).toBe("invalid_json: unexpected end at byte 6");
    expect(failure(host, "")).toBe("invalid_json: unexpected end at byte 0");
  });

  test.each([
    [{}, "'fields' is required"],
    [{ fields: [] }, "'fields' must name one field at least"],
    [{ fields: ["a..b"] }, "'fields' holds the malformed path a..b"],
    [{ fields: [""] }, "malformed path"],
    [{ fields: ["a."] }, "malformed path"],
    [{ fields: ["a[0]"] }, "malformed path"],
    [{ fields: ["a]"] }, "malformed path"],
    [{ fields: ["a[]b"] }, "malformed path"],
    [{ fields: ["a.[]"] }, "malformed path"],
    [{ fields: ["a\\"] }, "malformed path"],
    [{ fields: ["a"], action: "blur" }, "'action' must be one of mask, hash, remove, but is blur"],
  ])("refuses the configuration %j", async (config, reason) => {
    await expect(start("json-redact", config)).rejects.toThrow(reason);
  });
});

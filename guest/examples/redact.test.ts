/** Redaction against a model in JavaScript, on generated documents and paths. */

import { LocalHost } from "@leat/assemblyscript/local-host";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadExample } from "./index.ts";

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

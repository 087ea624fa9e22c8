import { create, toBinary } from "@bufbuild/protobuf";
import { InstancePolicy, OnFailure, PipelineSchema } from "@leat/proto";
import { describe, expect, test } from "vitest";
import { defaultLimits } from "../limits.ts";
import { ConfigError } from "./config-error.ts";
import { parsePipelines } from "./pipelines-file.ts";

function mistakesOf(yaml: string, limits = defaultLimits): string[] {
  try {
    parsePipelines(yaml, "p.yaml", limits);
  } catch (error) {
    if (error instanceof ConfigError) return error.message.split("\n");
    throw error;
  }
  return [];
}

describe("a pipelines file", () => {
  test("becomes messages that the server takes", () => {
    const [flights, ...more] = parsePipelines(
      `
pipelines:
  - name: flights
    description: Clean flight records
    stages:
      - module: normalise@1.2.0
      - name: hide
        module: redact
        config:
          fields: [email, phone]
          mask: "\\u2588"
          nested: { deep: [1, 2.5, true, null] }
        on_failure: drop
        instances: fresh
        limits: { batch_timeout_ms: 2s, record_timeout_ms: 250, memory_bytes: 16MiB }
`,
      "p.yaml",
    );
    expect(more).toEqual([]);
    const message = create(PipelineSchema, flights);
    expect(message).toMatchObject({
      name: "flights",
      description: "Clean flight records",
      stages: [
        { name: "", module: "normalise@1.2.0", configJson: "", onFailure: OnFailure.UNSPECIFIED },
        {
          name: "hide",
          module: "redact",
          onFailure: OnFailure.DROP,
          instances: InstancePolicy.FRESH,
          limits: { batchTimeoutMs: 2_000, recordTimeoutMs: 250, memoryBytes: 16n * 1024n ** 2n },
        },
      ],
    });
    expect(message.stages[0]?.limits).toBeUndefined();
    expect(JSON.parse(message.stages[1]?.configJson ?? "")).toEqual({
      fields: ["email", "phone"],
      mask: "█",
      nested: { deep: [1, 2.5, true, null] },
    });
    expect(toBinary(PipelineSchema, message).length).toBeGreaterThan(0);
  });

  test("may have several documents, of lists or of single pipelines", () => {
    const yaml = `---
name: a
stages: [{ module: m }]
---
pipelines:
  - { name: b, stages: [{ module: m }] }
  - { name: c, stages: [{ module: m, on_failure: pass }, { module: n, on_failure: fail, instances: reuse }] }
---
`;
    expect(parsePipelines(yaml, "p.yaml").map(({ name }) => name)).toEqual(["a", "b", "c"]);
  });

  test("may share parts by alias", () => {
    const yaml = `
pipelines:
  - { name: a, stages: [&upper { module: upper, config: { locale: en } }] }
  - { name: b, stages: [*upper] }
`;
    const [a, b] = parsePipelines(yaml, "p.yaml");
    expect(b?.stages).toEqual(a?.stages);
  });

  test("gives a module every key of its configuration, whatever its name", () => {
    const [pipeline] = parsePipelines(
      "name: a\nstages: [{ module: m, config: { __proto__: 1, constructor: 2 } }]",
      "p.yaml",
    );
    expect(pipeline?.stages?.[0]?.configJson).toBe('{"__proto__":1,"constructor":2}');
  });
});

describe("a mistake in a pipelines file", () => {
  test("has its line, column and path; all are listed", () => {
    const yaml = `pipelines:
  - name: Flights
    stages:
      - modul: normalise
        config: [1]
      - module: redact
        on_failure: retry
        config: { a: { b: [.inf, 123456789012345678901] } }
        limits: { memory_bytes: 16MB, batch_timeout: 1s }
  - name: x
    stages: []
extra: 1
`;
    expect(mistakesOf(yaml).toSorted()).toEqual(
      [
        'p.yaml:2:11: pipelines[0].name: "Flights" is not allowed; give 1 to 64 characters: a lower case letter or digit, then letters, digits, `.`, `_` or `-`',
        "p.yaml:4:9: pipelines[0].stages[0].module: missing; give a module as `name`, `name@version` or `sha256:<64 hex digits>`",
        "p.yaml:4:9: pipelines[0].stages[0].modul: unknown key; did you mean module?",
        "p.yaml:5:17: pipelines[0].stages[0].config: [1] is not allowed; give a mapping of keys to values",
        'p.yaml:7:21: pipelines[0].stages[1].on_failure: "retry" is not allowed; give one of fail, drop, pass, dead_letter',
        "p.yaml:8:28: pipelines[0].stages[1].config.a.b[0]: Infinity is not allowed; give a finite number",
        "p.yaml:8:34: pipelines[0].stages[1].config.a.b[1]: 123456789012345680000 is not allowed; give numbers this large as text, in quotes",
        'p.yaml:9:33: pipelines[0].stages[1].limits.memory_bytes: "16MB" is not allowed; give a size in bytes of at least 1, such as 4194304, "256KiB", "64MiB" or "1GiB"',
        "p.yaml:9:39: pipelines[0].stages[1].limits.batch_timeout: unknown key; did you mean batch_timeout_ms?",
        "p.yaml:11:13: pipelines[1].stages: [] is not allowed; give a list of 1 to 16 stages",
        "p.yaml:12:1: extra: unknown key; allowed are pipelines",
      ].toSorted(),
    );
  });

  test("is a name that is there twice, of pipelines or of stages", () => {
    const yaml = `pipelines:
  - name: a
    stages:
      - module: m
      - module: m@2
  - name: b
    stages: [{ module: m }, { module: m, name: again }]
---
name: a
stages: [{ module: m }]
`;
    expect(mistakesOf(yaml)).toEqual([
      'p.yaml:5:17: pipelines[0].stages[1].module: "m" is the name at p.yaml:4:17, too; give each stage its own `name`',
      'p.yaml:9:7: name: "a" is the name at p.yaml:2:11, too; give each pipeline its own',
    ]);
  });

  test("is more stages than the server's limit", () => {
    expect(
      mistakesOf("name: a\nstages: [{ module: m }, { module: n }]", { ...defaultLimits, maxStages: 1 }),
    ).toEqual([
      expect.stringMatching(/^p\.yaml:2:9: stages: .* is not allowed; give a list of 1 to 1 stages$/),
    ]);
  });

  test.each([
    ["", "p.yaml: pipelines: missing; give at least one pipeline"],
    ["pipelines: 5", "p.yaml:1:12: pipelines: 5 is not allowed; give a list of 1 to 1000 pipelines"],
    ["- 1", "p.yaml:1:1: [1] is not allowed; give a mapping of keys to values"],
    ["name: a\n  stages: x", "p.yaml:1:7: Nested mappings are not allowed in compact mappings"],
  ])("is %j", (yaml, mistake) => {
    expect(mistakesOf(yaml)[0]).toBe(mistake);
  });

  test("is an alias bomb", () => {
    const lines = ["a: &a [x, x, x, x, x, x, x, x, x]"];
    for (let letter = "b"; letter < "i"; letter = String.fromCharCode(letter.charCodeAt(0) + 1)) {
      const before = String.fromCharCode(letter.charCodeAt(0) - 1);
      lines.push(`${letter}: &${letter} [${Array(9).fill(`*${before}`).join(", ")}]`);
    }
    expect(mistakesOf(lines.join("\n"))).toEqual([expect.stringMatching(/^p\.yaml: .*alias/)]);
  });
});

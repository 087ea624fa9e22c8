import type { OutputRecord } from "@leat/sdk";
import { describe, expect, test } from "vitest";
import { FormatError, type FormatName, formats } from "./format.ts";

function output(value: string | Uint8Array | undefined): OutputRecord {
  const bytes = typeof value === "string" ? Buffer.from(value) : value;
  return { key: undefined, value: bytes, headers: [], timestampMs: 0 };
}

function written(format: FormatName, record: OutputRecord): string {
  const parts: Uint8Array[] = [];
  formats[format].write(record, parts);
  return Buffer.concat(parts).toString();
}

function read(format: FormatName, text: string | Uint8Array): unknown {
  return formats[format].read(typeof text === "string" ? Buffer.from(text) : text);
}

describe("ndjson", () => {
  test("reads each JSON value as it is written, and skips empty lines", () => {
    expect(read("ndjson", '{ "n": 1.0 }\r')).toEqual({ value: Buffer.from('{ "n": 1.0 }\r') });
    expect(read("ndjson", " \r")).toBeUndefined();
    expect(read("ndjson", "\ufeff[]")).toEqual({ value: Buffer.from("\ufeff[]") });
  });

  test("refuses what is no JSON", () => {
    for (const line of ["{", "abc", Uint8Array.of(0x22, 0xff, 0x22)]) {
      expect(() => read("ndjson", line)).toThrow(FormatError);
    }
  });

  test("writes one line for each record, whatever line ends its JSON has", () => {
    expect(written("ndjson", output('{\r\n  "n": 1\n}'))).toBe('{   "n": 1 }\n');
    expect(written("ndjson", output(undefined))).toBe("null\n");
    expect(() => written("ndjson", output("plain"))).toThrow(FormatError);
  });
});

describe("lines", () => {
  test("keep every byte but the line feed", () => {
    expect(read("lines", "a\r")).toEqual({ value: Buffer.from("a\r") });
    expect(read("lines", "")).toEqual({ value: Buffer.alloc(0) });
    expect(written("lines", output("a\r"))).toBe("a\r\n");
    expect(written("lines", output(undefined))).toBe("\n");
  });

  test("cannot hold a line feed", () => {
    expect(() => written("lines", output("a\nb"))).toThrow("use --output-format binary");
  });
});

describe("binary", () => {
  test("gives records back whole: key, value, headers and time", () => {
    const record: OutputRecord = {
      key: Uint8Array.of(0),
      value: undefined,
      headers: [
        { key: "h", value: Uint8Array.of(1) },
        { key: "h", value: Uint8Array.of(2) },
      ],
      timestampMs: -5,
    };
    const parts: Uint8Array[] = [];
    formats.binary.write(record, parts);
    const [length, bytes = new Uint8Array(0)] = parts;
    expect(length).toEqual(Uint8Array.of(bytes.length));
    const back = formats.binary.read(bytes);
    expect(back).toMatchObject({ key: record.key, headers: record.headers, timestampMs: -5n });
    expect(back?.value).toBeUndefined();
  });

  test("refuses what is no record", () => {
    expect(() => read("binary", Uint8Array.of(0x0a, 9))).toThrow(FormatError);
  });
});

test("a failed input is shown as text where it is text, else in base64", () => {
  expect(formats.lines.show(Buffer.from("é"))).toEqual({ input: "é" });
  expect(formats.lines.show(Uint8Array.of(0xff))).toEqual({ inputBase64: "/w==" });
  expect(formats.binary.show(Buffer.from("a"))).toEqual({ inputBase64: "YQ==" });
});

/**
 * Shorthand for running an example module over values.
 *
 * @module
 */

import { LocalHost, type RecordInit } from "@leat/assemblyscript/local-host";
import type { TransformResult } from "@leat/proto";
import { expect } from "vitest";
import { type ExampleName, loadExample } from "../index.ts";

/** Starts an example. */
export async function start(name: ExampleName, config?: unknown): Promise<LocalHost> {
  return LocalHost.start(await loadExample(name), { config });
}

/** UTF-8 of a text. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** What stands beside the value, to see that it stays. */
const beside: RecordInit = { key: utf8("k"), headers: [{ key: "h", value: utf8("1") }], timestampMs: 7n };

/** A record with that value, or none. */
export function record(value?: string): RecordInit {
  return value === undefined ? beside : { ...beside, value: utf8(value) };
}

/** Runs values through a module; what comes out is their texts, after a check that everything beside them stayed. */
export function run(host: LocalHost, ...inputs: (string | undefined)[]): (string | undefined)[] {
  const result = host.transform(inputs.map(record));
  expect(codes(result)).toEqual([]);
  return texts(result);
}

/** The values that came out as text, after a check that everything beside them stayed. */
export function texts(result: TransformResult): (string | undefined)[] {
  return (result.batch?.records ?? []).map((output) => {
    expect(output).toMatchObject(beside);
    return output.value && new TextDecoder().decode(output.value);
  });
}

/** What failed, and why. */
export function codes(result: TransformResult): [index: number, code: string, message: string][] {
  return result.failures.map(({ index, code, message }) => [index, code, message]);
}

/** The one failure of a value. */
export function failure(host: LocalHost, value: string): string {
  const result = host.transform([record(value)]);
  expect(result.fanout).toEqual([0]);
  return codes(result)
    .map(([, code, message]) => `${code}: ${message}`)
    .join();
}

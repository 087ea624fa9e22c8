/**
 * The kit's test module, loaded once a process, and shorthand for talking to it.
 *
 * @module
 */

import type { TransformResult } from "@leat/proto";
import { LocalHost, type LocalHostOptions, type RecordInit } from "../local-host.ts";
import { builtProbe } from "./built-probe.ts";

let built: Promise<Uint8Array> | undefined;

/** Starts the probe module. */
export async function startProbe(options: LocalHostOptions = {}): Promise<LocalHost> {
  built ??= builtProbe();
  return LocalHost.start(await built, options);
}

/** A record that tells the probe what to do. */
export function command(key: string, value?: string, more: RecordInit = {}): RecordInit {
  return { ...more, key: utf8(key), ...(value === undefined ? {} : { value: utf8(value) }) };
}

/** UTF-8 of a text. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** The values of a result's records as text; undefined where there is none. */
export function values(result: TransformResult): (string | undefined)[] {
  return (result.batch?.records ?? []).map(({ value }) => value && new TextDecoder().decode(value));
}

/** The failures of a result, as short as can be. */
export function failures(
  result: TransformResult,
): [index: number, code: string, message: string, retryable: boolean][] {
  return result.failures.map(({ index, code, message, retryable }) => [index, code, message, retryable]);
}

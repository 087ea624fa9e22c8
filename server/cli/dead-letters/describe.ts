/**
 * How dead letters look to people.
 *
 * @module
 */

import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { DeadLetter, Record } from "@leat/proto";

/** When a letter was written. */
export function letterTime({ time }: DeadLetter): string {
  return time === undefined ? "" : timestampDate(time).toISOString();
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Bytes as text where they are text, else as base64, which is said. */
export function readable(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return `base64:${Buffer.from(bytes).toString("base64")}`;
  }
}

/** The fields of a record, each under a prefix. */
export function recordFields(prefix: string, record: Record): [name: string, value: string][] {
  const { key, value, headers, timestampMs } = record;
  return [
    ...(key === undefined ? [] : [[`${prefix} key`, readable(key)] as [string, string]]),
    [`${prefix} value`, value === undefined ? "(none: a tombstone)" : readable(value)],
    ...headers.map((header): [string, string] => [
      `${prefix} header`,
      `${header.key}: ${readable(header.value)}`,
    ]),
    ...(timestampMs === 0n
      ? []
      : [[`${prefix} time`, new Date(Number(timestampMs)).toISOString()] as [string, string]]),
  ];
}

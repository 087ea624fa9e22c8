// Splits a record whose value is lines of JSON (NDJSON) into one record a line. Key, headers and time are those of the whole. Blank lines
// are skipped, and so a value without any other line gives no record. A tombstone passes.
//
// Configuration:
//   validate   boolean, default true: fail the whole record with the code `invalid_json` when a line is no JSON; the message names the
//              line and the byte in it, the first line being 1 and the first byte 0

import { Bytes, Config, Json, Out, Record, markMemory, releaseMemory } from "@leat/assemblyscript";

const LINE_FEED: u8 = 0x0a;

let validate: bool = true;

export function configure(config: Config): void {
  validate = config.boolean("validate", true);
}

export function transform(record: Record, out: Out): void {
  if (!record.hasValue) return out.pass(record);
  const value = record.value;
  let start = 0;
  for (let line = 1; start < value.length; line++) {
    const mark = markMemory();
    const feed = value.indexOf(LINE_FEED, start);
    const end = feed < 0 ? value.length : feed;
    const text = value.slice(start, end).trim();
    if (text.length > 0) {
      if (validate && !Json.parse(text)) return out.fail("invalid_json", problem(line, text, value.ptr + <usize>start));
      out.value(record, text);
    }
    start = end + 1;
    releaseMemory(mark);
  }
}

function problem(line: i32, text: Bytes, lineStart: usize): string {
  const at = <i32>(text.ptr - lineStart) + Json.problemAt;
  return Json.problem + " in line " + line.toString() + " at byte " + at.toString();
}

// Turns the ASCII letters of each value to upper case. Key, headers and time stay; a tombstone passes.
//
// Configuration: none.

import { Out, Record } from "@leat/assemblyscript";

export function transform(record: Record, out: Out): void {
  if (!record.hasValue) return out.pass(record);
  const value = record.value;
  value.upperTo(out.map(record, value.length));
}

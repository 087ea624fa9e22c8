// Counts what passes: records, their values' bytes, and tombstones. Every record goes on unchanged.
//
// Configuration:
//   name   string, default "records": the counters are <name>, <name>_bytes and <name>_tombstones

import { Config, Counter, Out, Record } from "@leat/assemblyscript";

let records: Counter = new Counter("records");
let bytes: Counter = new Counter("records_bytes");
let tombstones: Counter = new Counter("records_tombstones");

export function configure(config: Config): void {
  const name = config.string("name", "records");
  if (name.length > 50) config.refuse("'name' may have 50 characters at most");
  records = new Counter(name);
  bytes = new Counter(name + "_bytes");
  tombstones = new Counter(name + "_tombstones");
}

export function transform(record: Record, out: Out): void {
  records.add();
  bytes.add(record.value.length);
  if (!record.hasValue) tombstones.add();
  out.pass(record);
}

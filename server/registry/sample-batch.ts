/**
 * Records for warming modules up.
 *
 * @module
 */

import { create, toBinary } from "@bufbuild/protobuf";
import { RecordBatchSchema } from "@leat/proto";

const records = 100;

let made: Buffer | undefined;

/** A batch of JSON objects as services send them: small, with text and numbers, some fields unset. Made once. */
export function sampleBatch(): Buffer {
  made ??= Buffer.from(
    toBinary(
      RecordBatchSchema,
      create(RecordBatchSchema, {
        records: Array.from({ length: records }, (_, index) => ({
          key: Buffer.from(`key-${index}`),
          value: Buffer.from(sampleValue(index)),
          headers: [{ key: "content-type", value: Buffer.from("application/json") }],
          timestampMs: BigInt(1_700_000_000_000 + index),
        })),
      }),
    ),
  );
  return made;
}

function sampleValue(index: number): string {
  return JSON.stringify({
    id: index,
    name: `Sample Name ${index}`,
    email: `user${index}@example.org`,
    active: index % 2 === 0,
    amount: index * 1.25,
    tags: ["a", "b", `tag-${index % 7}`],
    address: {
      city: "Exeter",
      street: `${index} River Street`,
      postcode: index % 5 === 0 ? null : `EX${index}`,
    },
    note: "The quick brown fox jumps over the lazy dog.",
  });
}

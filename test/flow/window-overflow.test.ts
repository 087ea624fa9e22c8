import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { defaultLimits } from "../../server/limits.ts";
import { numbered, open, request } from "../kit/records.ts";
import { startTestServer } from "../kit/test-server.ts";
import { wat } from "../kit/wat.ts";

const batchBytes = 10 * 2 ** 20;

/** `init.wat`, which gives every batch as it came, with memory for larger ones. */
async function roomyEcho(): Promise<Uint8Array> {
  const source = await readFile(new URL("../modules/init.wat", import.meta.url), "utf8");
  return wat(source.replace('(export "memory") 128', '(export "memory") 256').replace("8000000", "16000000"));
}

/** Every 64 KiB of it say their place. */
function largeValue(batch: number): Buffer {
  const value = Buffer.alloc(batchBytes, `batch ${batch} of a kind, `);
  for (let at = 0; at < batchBytes; at += 65_536) value.writeUInt32LE(at, at);
  return value;
}

test("batches of ten times a stream's HTTP/2 window come and go whole, on streams and alone", async () => {
  expect(batchBytes).toBeGreaterThan(defaultLimits.streamWindowBytes * 9);
  await using kit = await startTestServer({
    limits: { maxBatchBytes: batchBytes + 1_024 },
    modules: { echo: await roomyEcho() },
  });
  const same = (value: Uint8Array | undefined, batch: number): boolean =>
    value !== undefined && Buffer.compare(value, largeValue(batch)) === 0;
  const stream = kit.raw.stream();
  stream.write(open("echo"));
  for (let batch = 1; batch <= 3; batch++) stream.write(numbered(batch, largeValue(batch)));
  stream.halfClose();
  const [, ...results] = await stream.rest();
  const answered = results.map((message) => {
    if (message.case !== "result" || message.value.outcome.case !== "result") return message;
    const { sequence, outcome } = message.value;
    return same(outcome.value.batch?.records[0]?.value, Number(sequence))
      ? sequence
      : `${sequence} was changed`;
  });
  expect(answered).toEqual([1n, 2n, 3n]);
  const { batch } = await kit.raw.transform(request("echo", largeValue(4)));
  expect(same(batch?.records[0]?.value, 4)).toBe(true);
});

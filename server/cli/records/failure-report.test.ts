import { Writable } from "node:stream";
import { expect, test } from "vitest";
import { failuresToStream } from "./failure-report.ts";
import { formats } from "./format.ts";

const origin = { file: "orders.ndjson", number: 1, bytes: Buffer.from("a") };
const failure = { code: "trap", message: "", stage: "s", attempts: 1, retryable: false };
const full = new Error("ENOSPC: no space left on device, write");

/** A report over a stream that is behind after one failure; it ends each write as the test says. */
function reportTo(ends: (stream: Writable, written: (error?: Error) => void) => void) {
  const stream = new Writable({
    highWaterMark: 1,
    write(_chunk, _encoding, callback) {
      setImmediate(() => ends(this, callback));
    },
  });
  return failuresToStream(stream, formats.lines);
}

test("a file that takes more goes on", async () => {
  const report = reportTo((_, written) => written());
  for (let n = 0; n < 3; n++) {
    expect(report.write(origin, failure)).toBe(false);
    await report.drained();
  }
  await report.close();
});

test("a disk that is full ends the wait with its error, and whoever comes later is told the same", async () => {
  const report = reportTo((_, written) => written(full));
  expect(report.write(origin, failure)).toBe(false);
  await expect(report.drained()).rejects.toBe(full);
  await expect(report.drained()).rejects.toBe(full);
  await expect(report.close()).rejects.toBe(full);
});

test("a stream that is closed ends the wait", async () => {
  const report = reportTo((stream) => stream.destroy());
  report.write(origin, failure);
  await expect(report.drained()).rejects.toThrow("was closed");
});

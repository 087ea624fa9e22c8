import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { expect, test } from "vitest";
import { readingCall } from "./reflection.ts";

test("a reflection call whose client does not read is not read either, and answered whole once it reads", async () => {
  const requests = 2_000;
  let waiting: (() => void) | undefined;
  let reads = false;
  const call = new Duplex({
    objectMode: true,
    read: () => {},
    write: (_, __, done) => {
      if (reads) done();
      else waiting = done;
    },
  });
  for (let request = 0; request < requests; request++) call.push(Buffer.from([1]));
  let answers = 0;
  const definition = {
    requestDeserialize: (bytes: Buffer) => bytes,
    responseSerialize: (bytes: Buffer) => {
      answers++;
      return bytes;
    },
  };
  const messages = readingCall(call as never, { definition: definition as never });
  messages.on("data", (message) => messages.write(message));
  for (let n = 0; n < 200; n++) await turn();
  expect(answers).toBeLessThan(100);
  expect(messages.writableLength).toBeLessThan(100);
  reads = true;
  waiting?.();
  for (let n = 0; n < 5_000 && answers < requests; n++) await turn();
  expect(answers).toBe(requests);
});

import { expect, test } from "vitest";
import { WitnessLog } from "./witness-log.ts";

test("the last whole entry is kept, wherever the stream is cut", () => {
  const entries = Buffer.from(Int32Array.from([1, 5, 0, -1, 2, 6, 1, 30]).buffer);
  for (let cut = 0; cut <= entries.length; cut++) {
    const log = new WitnessLog();
    log.push(entries.subarray(0, cut));
    expect(log.last?.begun).toBe(cut < 16 ? undefined : cut < 32 ? 1 : 2);
    log.push(entries.subarray(cut));
    expect(log.last).toEqual({ begun: 2, slot: 6, stage: 1, record: 30 });
  }
});

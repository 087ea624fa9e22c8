import { once } from "node:events";
import { platform } from "node:os";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { ThreadCpu } from "./thread-cpu.ts";

/** Spins until its word is set, then sleeps. */
const spinner = `
  const { workerData, parentPort } = require("node:worker_threads");
  parentPort.postMessage("spinning");
  while (Atomics.load(workerData, 0) === 0);
  parentPort.postMessage("asleep");
  Atomics.wait(workerData, 0, 1);
`;

test.skipIf(platform() !== "linux")(
  "tells how long another thread had a processor, while it spins",
  async () => {
    const word = new Int32Array(new SharedArrayBuffer(4));
    const worker = new Worker(spinner, { eval: true, name: "cpu-test-spinner", workerData: word });
    const cpu = new ThreadCpu("cpu-test-spinner");
    await once(worker, "message");
    const before = cpu.usedMs() ?? Number.NaN;
    let after = before;
    while (!(after - before > 30)) after = cpu.usedMs() ?? Number.NaN;
    const asleep = once(worker, "message");
    Atomics.store(word, 0, 1);
    await asleep;
    await worker.terminate();
    expect(cpu.usedMs()).toBeUndefined();
    cpu.close();
  },
);

test("knows nothing of a thread that is not there, nor of one that it has let go of", () => {
  const cpu = new ThreadCpu("no such thread");
  expect(cpu.usedMs()).toBeUndefined();
  cpu.close();
  expect(cpu.usedMs()).toBeUndefined();
});

import { MessageChannel } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { RingReader, RingWriter, SlotMemory } from "../bridge/channel.ts";
import { Claim, Control, layoutFor, Outcome, SegmentWord, Slot, Transfer } from "../bridge/layout.ts";
import type { ToWorker } from "../bridge/to-worker.ts";
import { defaultLimits, resolveLimits } from "../limits.ts";
import { WorkerLoop } from "./worker-loop.ts";

const limits = resolveLimits();

/** A batch of one record without fields, and the result that a pipeline without stages makes of it. */
const batch = Buffer.from([0x0a, 0x00]);

/** A worker's loop in this thread, with the main thread's side of it. */
function inThisThread() {
  const memory = new SlotMemory(layoutFor(limits));
  const { port1, port2 } = new MessageChannel();
  onTestFinished(() => port1.close());
  const ring = new RingWriter(memory, "submit");
  const post = (message: ToWorker): void => {
    port1.postMessage(message);
    Atomics.add(memory.words, Control.posted, 1);
  };
  const submit = (transfer: number): void => {
    const base = memory.slot(0);
    memory.words[base + Slot.pipeline] = 1;
    memory.words[base + Slot.inputLength] = batch.length;
    memory.words[base + Slot.segments] = 1;
    memory.words[base + Slot.claim] = Claim.open;
    memory.words[base + Slot.transfer] = transfer;
    memory.words[memory.segment(0, 0) + SegmentWord.length] = batch.length;
    if (transfer === Transfer.none) batch.copy(memory.bytes, memory.inputStart(0));
    ring.push(0);
  };
  const worker = new WorkerLoop({
    shared: memory.shared,
    limits,
    port: port2,
    worker: 1,
    ledger: undefined,
    witness: undefined,
  });
  return { memory, post, submit, worker };
}

/** Has `act` happen right before the loop looks for a slot: that is after whatever it did before. */
function beforeFirstLook(act: () => void): void {
  const { take } = RingReader.prototype;
  onTestFinished(() => {
    RingReader.prototype.take = take;
  });
  let first = true;
  RingReader.prototype.take = function (this: RingReader): number {
    if (first) {
      first = false;
      act();
    }
    return take.call(this);
  };
}

test.each([
  ["its pipeline", Transfer.none],
  ["its pipeline and its input", Transfer.input],
])("a slot that is submitted together with %s at the last moment finds them", (_, transfer) => {
  const { memory, post, submit, worker } = inThisThread();
  beforeFirstLook(() => {
    post({ type: "load", pipeline: { id: 1, name: "late", stages: [], limits: defaultLimits } });
    if (transfer === Transfer.input) post({ type: "input", slot: 0, bytes: Uint8Array.from(batch) });
    submit(transfer);
    post({ type: "stop" });
  });
  worker.run();
  expect(memory.words[memory.slot(0) + Slot.outcome]).toBe(Outcome.result);
});

/**
 * The main thread of a worker's process: puts what comes through the socket into memory that it shares with the thread
 * that runs guests, and sends back what the thread has done.
 *
 * @module
 */

import type { Socket } from "node:net";
import { RingReader, RingWriter, SlotMemory } from "../bridge/channel.ts";
import {
  type ChildProblem,
  childFiles,
  FromChild,
  frameHeadBytes,
  jsonFrame,
  newFrame,
  ToChild,
  wordsFrame,
} from "../bridge/frames.ts";
import { completedMessage, type FromWorker, type Report } from "../bridge/from-worker.ts";
import { Claim, Control, controlWords, layoutFor, Outcome, Slot } from "../bridge/layout.ts";
import type { PipelineSpec, StageSpec } from "../bridge/pipeline-spec.ts";
import { acceptSubmit, completedFrame, PayloadReader, type Submitted } from "../bridge/slot-frames.ts";
import type { Limits } from "../limits.ts";
import { setEngineFlags } from "../module/engine-flags.ts";
import { ThreadLink } from "../pool/thread-link.ts";
import type { WorkerEnd } from "../pool/worker-link.ts";
import { compileWithin } from "./compile-within.ts";

/** What the process is started with. */
export interface ChildStart {
  readonly limits: Readonly<Limits>;
  readonly worker: number;
  /** What the thread that runs guests is called, so that its processor time can be found. */
  readonly threadName: string;
}

/** A pipeline without the code of its stages. */
type CodelessPipeline = Omit<PipelineSpec, "stages"> & {
  readonly stages: readonly Omit<StageSpec, "code">[];
};

/** How often the control words are sent while there is work, in milliseconds. */
export const controlIntervalMs = 5;

/** Carries slots between the server's process and the thread. */
export class Relay {
  readonly #socket: Socket;
  readonly #memory: SlotMemory;
  readonly #link: ThreadLink;
  readonly #submit: RingWriter;
  readonly #complete: RingReader;
  readonly #binaries = new Map<number, Map<number, Buffer>>();
  /** Pipelines that V8 compiles, with the slots that wait for that. */
  readonly #compiling = new Map<number, Submitted[]>();
  /** Pipelines that V8 has refused, and why. */
  readonly #refused = new Map<number, string>();
  readonly #outputs = new Map<number, Uint8Array>();
  readonly #inThread = new Set<number>();
  readonly #told = new Int32Array(controlWords);
  #timer: NodeJS.Timeout | undefined;
  #maxCompileMs: number;

  constructor(socket: Socket, { limits, worker, threadName }: ChildStart) {
    setEngineFlags(limits);
    this.#maxCompileMs = limits.maxCompileMs;
    this.#socket = socket;
    this.#memory = new SlotMemory(layoutFor(limits));
    this.#memory.words[Control.currentSlot] = -1;
    this.#memory.words[Control.armed] = 1;
    this.#submit = new RingWriter(this.#memory, "submit");
    this.#complete = new RingReader(this.#memory, "complete");
    this.#link = new ThreadLink(
      this.#memory,
      { limits, worker, ledger: undefined, witness: childFiles.witness },
      { message: (message) => this.#receive(message), exited: (end) => this.#exited(end) },
      threadName,
    );
  }

  /** Takes a frame from the server's process. */
  take(type: number, payload: Buffer): void {
    const reader = new PayloadReader(payload);
    switch (type) {
      case ToChild.module: {
        const [pipeline, stage] = [reader.int(), reader.int()];
        const binaries = this.#binaries.get(pipeline) ?? new Map<number, Buffer>();
        this.#binaries.set(pipeline, binaries.set(stage, payload.subarray(reader.position)));
        return;
      }
      case ToChild.load:
        void this.#load(JSON.parse(payload.toString("utf8")) as CodelessPipeline);
        return;
      case ToChild.drop: {
        const id = reader.int();
        this.#refused.delete(id);
        this.#link.post({ type: "drop", id }, []);
        this.#link.ring();
        return;
      }
      case ToChild.submit:
        this.#place(acceptSubmit(this.#memory, payload));
        return;
      case ToChild.cancel:
        Atomics.store(this.#memory.words, this.#memory.slot(reader.int()) + Slot.cancelled, 1);
        return;
      case ToChild.recall:
        this.#giveBack();
        return;
      case ToChild.limits: {
        const limits = JSON.parse(payload.toString("utf8")) as Limits;
        this.#maxCompileMs = limits.maxCompileMs;
        this.#link.post({ type: "limits", limits }, []);
        return;
      }
    }
  }

  async #load(pipeline: CodelessPipeline): Promise<void> {
    const { id } = pipeline;
    const binaries = this.#binaries.get(id);
    this.#binaries.delete(id);
    const waiting: Submitted[] = [];
    this.#compiling.set(id, waiting);
    try {
      const stages = await Promise.all(
        pipeline.stages.map(async (stage, index): Promise<StageSpec> => {
          const binary = binaries?.get(index) ?? new Uint8Array(0);
          return {
            ...stage,
            code: {
              t: "compiled",
              module: await compileWithin(binary, stage.codeSectionShiftBytes, this.#maxCompileMs),
            },
          };
        }),
      );
      this.#link.post({ type: "load", pipeline: { ...pipeline, stages } }, []);
    } catch (error) {
      this.#refused.set(id, (error as Error).message.slice(0, 4_096));
    }
    this.#compiling.delete(id);
    for (const submitted of waiting) this.#place(submitted);
  }

  #place(submitted: Submitted): void {
    const { slot, pipeline, transferred } = submitted;
    const waiting = this.#compiling.get(pipeline);
    if (waiting !== undefined) {
      waiting.push(submitted);
      return;
    }
    const problem = this.#refused.get(pipeline);
    if (problem !== undefined) {
      this.#refuse(slot, problem);
      return;
    }
    if (transferred !== undefined)
      this.#link.post({ type: "input", slot, bytes: transferred }, [transferred.buffer]);
    this.#inThread.add(slot);
    this.#submit.push(slot);
    this.#link.ring();
    this.#timer ??= setInterval(() => this.#tell(), controlIntervalMs);
  }

  /** Completes a slot whose module V8 does not take. */
  #refuse(slot: number, problem: string): void {
    const { words, times } = this.#memory;
    const base = this.#memory.slot(slot);
    words[base + Slot.outcome] = Outcome.uncompiled;
    words[base + Slot.stagesBegun] = 0;
    words[base + Slot.reported] = 1;
    const at = this.#memory.timesOf(slot);
    times.fill(performance.timeOrigin + performance.now(), at, at + 2);
    this.#report({ type: "report", slot, problem, failures: [], samples: [], matters: [] });
    this.#socket.write(completedFrame(this.#memory, slot, undefined));
  }

  #receive(message: FromWorker): void {
    if (message === completedMessage) {
      this.#drain();
      return;
    }
    switch (message.type) {
      case "ready":
        this.#socket.write(newFrame(FromChild.ready, 0));
        return;
      case "output":
        this.#outputs.set(message.slot, message.bytes);
        return;
      case "report":
        this.#report(message);
        return;
      case "counters": {
        // JSON has no other numbers, and sums of them would say nothing.
        const deltas = message.deltas.filter(([, delta]) => Number.isFinite(delta));
        this.#socket.write(jsonFrame(FromChild.message, { ...message, deltas }));
        return;
      }
      case "log":
        this.#socket.write(jsonFrame(FromChild.message, message));
        return;
      case "returned":
        return;
    }
  }

  #report(report: Report): void {
    const matters = report.matters.map(({ input, ...matter }) =>
      input === undefined ? matter : { ...matter, input: Buffer.from(input).toString("base64") },
    );
    this.#socket.write(jsonFrame(FromChild.message, { ...report, matters }));
  }

  #drain(): void {
    const { words } = this.#memory;
    this.#socket.cork();
    for (let slot = this.#complete.take(); slot >= 0; slot = this.#complete.take()) this.#finish(slot);
    this.#socket.uncork();
    Atomics.store(words, Control.armed, 1);
    // A slot that completed before the word was set sent no message.
    if (this.#complete.ready && Atomics.exchange(words, Control.armed, 0) === 1) this.#drain();
  }

  #finish(slot: number): void {
    // Its report and its output were posted before it completed.
    for (let message = this.#link.take(); message !== undefined; message = this.#link.take())
      if (message !== completedMessage) this.#receive(message);
    const output = this.#outputs.get(slot);
    this.#outputs.delete(slot);
    this.#inThread.delete(slot);
    this.#socket.write(completedFrame(this.#memory, slot, output));
    if (this.#inThread.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Gives slots back that the thread has not begun. They complete when it comes to them. */
  #giveBack(): void {
    const { words } = this.#memory;
    for (const slot of this.#inThread) {
      const claim = this.#memory.slot(slot) + Slot.claim;
      if (Atomics.compareExchange(words, claim, Claim.open, Claim.takenBack) === Claim.open)
        this.#socket.write(wordsFrame(FromChild.returned, slot));
    }
  }

  /** Says what the thread has done and not told, and what it does, when that has changed. */
  #tell(): void {
    const { words } = this.#memory;
    if (this.#complete.ready) this.#drain();
    let changed = false;
    for (let word = 0; word < controlWords; word++) {
      const value = Atomics.load(words, word);
      changed ||= value !== this.#told[word];
      this.#told[word] = value;
    }
    if (!changed) return;
    const frame = newFrame(FromChild.control, this.#told.byteLength);
    frame.set(new Uint8Array(this.#told.buffer), frameHeadBytes);
    this.#socket.write(frame);
  }

  #exited({ reason, problem }: WorkerEnd): void {
    const said: ChildProblem = { reason, problem: problem.slice(0, 4_096) };
    this.#socket.end(jsonFrame(FromChild.problem, said), () => process.exit(1));
  }
}

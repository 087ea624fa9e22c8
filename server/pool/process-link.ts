/**
 * A worker in a process of its own: slots go there and come back through a socket, and are checked when they do. The
 * process is ended by SIGKILL.
 *
 * What the guest's thread does at this moment is told about every 5 ms, for the watchdog. What it did last before it
 * died is in the witness stream, which it writes itself before each call, so that it is there whatever happened.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import type { Duplex, Readable } from "node:stream";
import { RingReader, RingWriter, type SlotMemory } from "../bridge/channel.ts";
import {
  childFiles,
  FrameError,
  FrameReader,
  FromChild,
  frameHeadBytes,
  jsonFrame,
  newFrame,
  ToChild,
  wordsFrame,
} from "../bridge/frames.ts";
import { completedMessage } from "../bridge/from-worker.ts";
import { Claim, Control, controlWords, Outcome, Phase, Slot } from "../bridge/layout.ts";
import type { PipelineSpec } from "../bridge/pipeline-spec.ts";
import { PayloadReader, submitFrame } from "../bridge/slot-frames.ts";
import type { ToWorker } from "../bridge/to-worker.ts";
import type { Clock } from "../clock.ts";
import type { Limits } from "../limits.ts";
import { childMessages, childProblem, maxFrameBytes } from "./child-messages.ts";
import { childTasks, startChild } from "./child-process.ts";
import { CompletedSlots, type SentSlot } from "./completed-slot.ts";
import { answerWithinMs, SentSlots } from "./sent-slots.ts";
import { ThreadCpu } from "./thread-cpu.ts";
import { threadName } from "./thread-link.ts";
import { UnaskedFrames } from "./unasked-frames.ts";
import { WitnessLog } from "./witness-log.ts";
import type { LinkEvents, LinkStart, StartLink, WorkerEnd, WorkerLink } from "./worker-link.ts";

/** How often slots are looked for that are not answered, in milliseconds. */
const overdueIntervalMs = 1_000;
/** What is kept of what the process wrote to stderr. */
const maxErrorText = 2_048;

/** Starts workers in processes of their own. */
export function processStarter(clock: Clock, startProcess: () => ChildProcess = startChild): StartLink {
  return (memory, start, events) => new ProcessLink(memory, start, events, clock, startProcess());
}

/** The way to a worker in another process. */
export class ProcessLink implements WorkerLink {
  readonly cpu: ThreadCpu;
  readonly #memory: SlotMemory;
  /** What may come back: the widest limits that held since the start, since batches keep those under which they came. */
  readonly #bounds: Limits;
  readonly #events: LinkEvents;
  readonly #clock: Clock;
  readonly #child: ChildProcess;
  readonly #frames: Duplex;
  readonly #submitted: RingReader;
  readonly #completed: RingWriter;
  readonly #completedSlots: CompletedSlots;
  readonly #sent: SentSlots;
  readonly #inputs = new Map<number, Uint8Array>();
  readonly #pipelines = new Map<number, { readonly stages: number; readonly answerWithinMs: number }>();
  readonly #overdueTimer: NodeJS.Timeout;
  #parse: ReturnType<typeof childMessages>;
  readonly #closed = Promise.withResolvers<void>();
  /** Batches that have completed after they had been begun. */
  #done = 0;
  readonly #witness = new WitnessLog();
  #errorText = "";
  #end: WorkerEnd | undefined;
  /** Whether it has sent what it must not. */
  #broke = false;
  /** The slot that it has not answered in its time. */
  #unanswered: number | undefined;
  #gone = false;
  readonly #unasked: UnaskedFrames;

  constructor(memory: SlotMemory, start: LinkStart, events: LinkEvents, clock: Clock, child: ChildProcess) {
    this.#memory = memory;
    this.#bounds = { ...start.limits };
    this.#events = events;
    this.#clock = clock;
    this.#submitted = new RingReader(memory, "submit");
    this.#completed = new RingWriter(memory, "complete");
    this.#completedSlots = new CompletedSlots(memory, this.#bounds);
    this.#sent = new SentSlots(memory.layout.slots);
    this.#overdueTimer = setInterval(() => this.#lookForOverdue(), overdueIntervalMs).unref();
    this.#parse = childMessages(this.#bounds);
    this.#unasked = new UnaskedFrames(clock);
    this.#child = child;
    const name = threadName(start.worker);
    this.cpu = new ThreadCpu(name, childTasks(this.#child));
    this.#frames = this.#child.stdio[childFiles.frames] as Duplex;
    this.#listen(this.#child.stdio[childFiles.witness] as Readable);
    this.#frames.write(
      jsonFrame(ToChild.start, { limits: start.limits, worker: start.worker, threadName: name }),
    );
  }

  post(message: ToWorker): void {
    switch (message.type) {
      case "load":
        this.#load(message.pipeline);
        return;
      case "drop":
        this.#pipelines.delete(message.id);
        this.#write(wordsFrame(ToChild.drop, message.id));
        return;
      case "input":
        this.#inputs.set(message.slot, message.bytes);
        return;
      case "limits":
        this.#widen(message.limits);
        this.#write(jsonFrame(ToChild.limits, message.limits));
        return;
      case "stop":
        this.#frames.end();
        return;
    }
  }

  ring(): void {
    this.#frames.cork();
    for (let slot = this.#submitted.take(); slot >= 0; slot = this.#submitted.take()) this.#send(slot);
    this.#frames.uncork();
  }

  cancelled(slot: number): void {
    if (this.#sent.get(slot) !== undefined) this.#write(wordsFrame(ToChild.cancel, slot));
  }

  recall(): void {
    this.#sent.recalled();
    this.#write(newFrame(ToChild.recall, 0));
  }

  /** Messages are told as they come. */
  take(): undefined {
    return undefined;
  }

  terminate(): void {
    this.#child.kill("SIGKILL");
  }

  ended(): Promise<void> {
    return this.#closed.promise;
  }

  close(): void {
    clearInterval(this.#overdueTimer);
    this.cpu.close();
    this.#frames.destroy();
  }

  #listen(witness: Readable): void {
    const reader = new FrameReader(
      () => maxFrameBytes(this.#bounds),
      (type, payload) => this.#take(type, payload),
    );
    this.#frames.on("data", (chunk: Buffer) => {
      // What comes after a breach is not read any more.
      if (this.#end !== undefined) return;
      try {
        reader.push(chunk);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        this.#broke = true;
        this.#fail({ reason: "crash", problem: `the worker's process broke the protocol: ${error.message}` });
      }
    });
    // A process that is gone breaks the pipes; its exit says so.
    this.#frames.on("error", () => {});
    this.#child.on("error", (error) => {
      this.#fail({ reason: "crash", problem: `the worker's process does not start: ${error.message}` });
      // Without a process there may be no exit.
      if (this.#child.pid === undefined) this.#ended(null, null);
    });
    witness.on("data", (chunk: Buffer) => this.#witness.push(chunk));
    witness.on("error", () => {});
    this.#child.stderr?.on("data", (chunk: Buffer) => {
      this.#errorText = (this.#errorText + chunk.toString("latin1")).slice(-maxErrorText);
    });
    this.#child.once("close", (code, signal) => this.#ended(code, signal));
  }

  #load(pipeline: PipelineSpec): void {
    this.#pipelines.set(pipeline.id, {
      stages: pipeline.stages.length,
      answerWithinMs: answerWithinMs(pipeline, this.#bounds.maxCompileMs),
    });
    for (const [index, { code, name }] of pipeline.stages.entries()) {
      if (code.t !== "binary") throw new Error(`stage ${name} was compiled for threads`);
      const frame = newFrame(ToChild.module, 8 + code.clamped.length);
      frame.writeInt32LE(pipeline.id, frameHeadBytes);
      frame.writeInt32LE(index, frameHeadBytes + 4);
      frame.set(code.clamped, frameHeadBytes + 8);
      this.#write(frame);
    }
    const stages = pipeline.stages.map(({ code: _, ...stage }) => stage);
    this.#write(jsonFrame(ToChild.load, { ...pipeline, stages }));
  }

  #widen(limits: Readonly<Limits>): void {
    for (const name of Object.keys(limits) as (keyof Limits)[])
      this.#bounds[name] = Math.max(this.#bounds[name], limits[name]);
    this.#parse = childMessages(this.#bounds);
  }

  #send(slot: number): void {
    const { words } = this.#memory;
    const base = this.#memory.slot(slot);
    const transferred = this.#inputs.get(slot);
    this.#inputs.delete(slot);
    // From here on only the process can give it back.
    if (Atomics.compareExchange(words, base + Slot.claim, Claim.open, Claim.worker) !== Claim.open) {
      this.#complete(slot);
      return;
    }
    const pipeline = this.#pipelines.get(words[base + Slot.pipeline] as number);
    if (pipeline === undefined) throw new Error(`slot ${slot} is of a pipeline that was not loaded`);
    this.#sent.add(slot, {
      ...pipeline,
      segments: words[base + Slot.segments] as number,
      transferred,
      submittedMs: this.#clock.nowMs(),
      recalled: false,
      reported: false,
    });
    this.#write(submitFrame(this.#memory, slot, transferred));
  }

  #write(frame: Buffer): void {
    if (this.#frames.writable) this.#frames.write(frame);
  }

  #take(type: number, payload: Buffer): void {
    switch (type) {
      case FromChild.completed:
        this.#takeCompleted(payload);
        return;
      case FromChild.control:
        this.#unasked.add(this.#bounds.maxLogLinesPerSecond);
        this.#takeControl(payload);
        return;
      case FromChild.returned:
        this.#takeReturned(new PayloadReader(payload).count(this.#memory.layout.slots - 1, "the slot"));
        return;
      case FromChild.message:
        this.#takeMessage(payload);
        return;
      case FromChild.ready:
        this.#unasked.add(this.#bounds.maxLogLinesPerSecond);
        this.#events.message({ type: "ready" });
        return;
      case FromChild.problem:
        this.#fail(childProblem(payload));
        return;
      default:
        throw new FrameError(`an unknown frame, ${type}`);
    }
  }

  #takeCompleted(payload: Buffer): void {
    const { words } = this.#memory;
    const reader = new PayloadReader(payload);
    const slot = reader.count(this.#memory.layout.slots - 1, "the slot");
    const sent = this.#sent.get(slot);
    if (sent === undefined) throw new FrameError(`slot ${slot} was not sent`);
    if (words[this.#memory.slot(slot) + Slot.claim] !== Claim.takenBack) {
      // Should it lie, this slot is to blame.
      words[Control.currentSlot] = slot;
      const output = this.#completedSlots.accept(slot, reader, sent, this.#clock.nowMs());
      if (output !== undefined) this.#events.message({ type: "output", slot, bytes: output });
      // What its main thread refuses, its worker has not begun.
      if (words[this.#memory.slot(slot) + Slot.outcome] !== Outcome.uncompiled) this.#done++;
      // It may have counters to tell of each stage.
      this.#unasked.allow(sent.stages);
    }
    words[Control.currentPhase] = Phase.idle;
    words[Control.currentSlot] = -1;
    this.#sent.complete(slot, this.#clock.nowMs());
    this.#complete(slot);
  }

  #complete(slot: number): void {
    this.#completed.push(slot);
    if (Atomics.exchange(this.#memory.words, Control.armed, 0) === 1) this.#events.message(completedMessage);
  }

  #takeReturned(slot: number): void {
    const claim = this.#memory.slot(slot) + Slot.claim;
    if (this.#sent.get(slot)?.recalled !== true || this.#memory.words[claim] !== Claim.worker)
      throw new FrameError(`slot ${slot} was given back, and nobody asked for it`);
    this.#memory.words[claim] = Claim.takenBack;
    this.#events.message({ type: "returned", slot });
  }

  #takeControl(payload: Buffer): void {
    const { words, layout } = this.#memory;
    const reader = new PayloadReader(payload);
    const told = Int32Array.from({ length: controlWords }, () => reader.int());
    const slot = told[Control.currentSlot] as number;
    if (slot >= layout.slots) throw new FrameError(`slot ${slot} is said to run`);
    for (const word of toldWords) words[word] = told[word] as number;
    // What was told before its slot completed is old.
    const sent = slot < 0 ? undefined : this.#sent.get(slot);
    if (sent === undefined) {
      words[Control.currentSlot] = -1;
      words[Control.currentPhase] = Phase.idle;
    } else words[Control.currentStage] = stageWithin(sent, words[Control.currentStage] as number);
  }

  #takeMessage(payload: Buffer): void {
    const message = this.#parse(payload);
    if (message.type === "report") {
      const sent = this.#sent.get(message.slot);
      if (sent === undefined) throw new FrameError("a report of a slot that was not sent");
      if (sent.reported) throw new FrameError("a second report of a slot");
      sent.reported = true;
    } else {
      this.#unasked.add(this.#bounds.maxLogLinesPerSecond);
      // Of a pipeline that was dropped meanwhile, or that the process was never told of.
      if (!this.#pipelines.has(message.pipeline)) return;
    }
    this.#events.message(message);
  }

  #lookForOverdue(): void {
    if (this.#end !== undefined) return;
    this.#unanswered = this.#sent.overdue(this.#clock.nowMs());
    if (this.#unanswered === undefined) return;
    this.#fail({ reason: "crash", problem: "the worker's process does not answer what it was given" });
  }

  /** Puts what the process did last where the handle looks for whom to blame. */
  #blame(): void {
    const { words, layout } = this.#memory;
    const put = (slot: number, stage: number, record: number): void => {
      const sent = slot < 0 || slot >= layout.slots ? undefined : this.#sent.get(slot);
      words[Control.currentSlot] = sent === undefined ? -1 : slot;
      words[Control.currentStage] = sent === undefined ? 0 : stageWithin(sent, stage);
      words[Control.currentRecord] = record;
    };
    const { last } = this.#witness;
    if (this.#broke) put(words[Control.currentSlot] as number, words[Control.currentStage] as number, -1);
    else if (this.#unanswered !== undefined)
      put(this.#unanswered, last?.slot === this.#unanswered ? last.stage : 0, -1);
    else if (last !== undefined && last.begun > this.#done) put(last.slot, last.stage, last.record);
    else words[Control.currentSlot] = -1;
  }

  #fail(end: WorkerEnd): void {
    this.#end ??= end;
    this.terminate();
  }

  #ended(code: number | null, signal: string | null): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#blame();
    const how = signal === null ? `exited with code ${code}` : `was ended by ${signal}`;
    const said = this.#errorText.match(/#? ?(?:Fatal|FATAL)[^\n]*/)?.[0] ?? "";
    this.#events.exited(
      this.#end ?? {
        reason: "crash",
        problem: `the worker's process ${how}${said === "" ? "" : `: ${said}`}`,
      },
    );
    this.#closed.resolve();
  }
}

/** A stage that the slot's pipeline has: what is blamed must be something that can be left out. */
function stageWithin({ stages }: SentSlot, stage: number): number {
  return Math.max(0, Math.min(stage, stages - 1));
}

/** Control words that the process tells; the others are about the memory on either side. */
const toldWords = [
  Control.currentSlot,
  Control.currentStage,
  Control.currentRecord,
  Control.currentPhase,
  Control.begun,
  Control.instances,
  Control.instancePages,
  Control.guestCalls,
] as const;

/**
 * Baseline: a guest module called in a plain loop in a process of its own, with no server around it.
 */

import { fromBinary } from "@bufbuild/protobuf";
import { TransformResultSchema } from "@leat/proto";
import { answerParent } from "../child.ts";
import { makeBatchBytes, recordsPerBatch } from "../fixtures.ts";
import { checkResult } from "../load/expectation.ts";
import { loadUppercase, type UppercaseModule } from "../modules/uppercase.ts";
import { processCpuUs } from "./usage.ts";

/** What the bare guest can be asked. */
export type GuestHandlers = {
  /** Calls the module with one batch over and over. */
  run(order: GuestOrder): Promise<GuestRun>;
};

/** What to run, and for how long. */
export interface GuestOrder {
  module: UppercaseModule;
  /** Which input: what a client sends, or what the module itself made of that (as a second stage sees it). */
  input: "original" | "output";
  /** Whether the copies into guest memory and out of it are part of the loop, or only the guest's own code. */
  copies: boolean;
  /** Milliseconds. */
  durationMs: number;
}

/** What a run took. */
export interface GuestRun {
  /** Batches. */
  units: number;
  seconds: number;
  cpuUs: number;
}

interface GuestExports {
  memory: WebAssembly.Memory;
  leat_alloc(size: number): number;
  leat_transform(ptr: number, len: number): bigint;
  leat_init?(ptr: number, len: number): bigint;
  _initialize?(): void;
}

const batchesBetweenLooks = 64;

async function instantiate(name: UppercaseModule): Promise<GuestExports> {
  const module = await WebAssembly.compile(await loadUppercase(name));
  const leat = { begin_record() {}, log() {}, now_ms: () => 0n, counter_add() {} };
  const instance = await WebAssembly.instantiate(module, { leat });
  const guest = instance.exports as unknown as GuestExports;
  guest._initialize?.();
  if (guest.leat_init) {
    const config = Buffer.from("{}");
    const at = guest.leat_alloc(config.length);
    new Uint8Array(guest.memory.buffer).set(config, at);
    guest.leat_init(at, config.length);
  }
  return guest;
}

/** One whole call, as a host makes it: into guest memory, transform, out into a buffer of the host's. */
function callOnce(guest: GuestExports, input: Uint8Array, output: Uint8Array): number {
  const at = guest.leat_alloc(input.length);
  new Uint8Array(guest.memory.buffer).set(input, at);
  const packed = guest.leat_transform(at, input.length);
  const length = Number(packed & 0xffffffffn);
  output.set(new Uint8Array(guest.memory.buffer, Number(packed >> 32n), length));
  return length;
}

/** The encoded batch inside an encoded result. */
function batchOf(result: Uint8Array): Uint8Array {
  // Tag 1, length-delimited, then a varint of the length: the batch is what follows.
  let at = 1;
  while ((result[at] ?? 0) >= 0x80) at++;
  return result.slice(at + 1);
}

function loop(durationMs: number, body: () => void): GuestRun {
  const cpuAtStart = processCpuUs();
  const start = performance.now();
  let batches = 0;
  while (performance.now() - start < durationMs) {
    for (let i = 0; i < batchesBetweenLooks; i++) body();
    batches += batchesBetweenLooks;
  }
  return { units: batches, seconds: (performance.now() - start) / 1e3, cpuUs: processCpuUs() - cpuAtStart };
}

const guests = new Map<UppercaseModule, GuestExports>();

void answerParent<GuestHandlers>(async () => ({
  async run(order) {
    const guest = guests.get(order.module) ?? (await instantiate(order.module));
    guests.set(order.module, guest);
    const original = makeBatchBytes();
    const output = new Uint8Array(original.length * 2);
    const length = callOnce(guest, original, output);
    checkResult(fromBinary(TransformResultSchema, output.subarray(0, length)), recordsPerBatch);
    const input = order.input === "original" ? original : batchOf(output.subarray(0, length));
    const whole = () => void callOnce(guest, input, output);
    if (order.copies) return loop(order.durationMs, whole);
    // The guest's own time is what remains of the whole call without the host's two copies.
    return loop(order.durationMs, () => {
      const at = guest.leat_alloc(input.length);
      guest.leat_transform(at, input.length);
    });
  },
}));

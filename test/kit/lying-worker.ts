/**
 * A worker's process that does not do what it shall: says it is ready, and lies when the first slot comes. Run with the
 * name of the lie.
 *
 * @module
 */

import { writeSync } from "node:fs";
import { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import {
  childFiles,
  FrameReader,
  FromChild,
  frameHeadBytes,
  jsonFrame,
  newFrame,
  ToChild,
  wordsFrame,
} from "../../server/bridge/frames.ts";
import { Outcome, SegmentWord } from "../../server/bridge/layout.ts";

/** Where this program is. */
export const lyingWorker = fileURLToPath(import.meta.url);

/** A completed slot with one segment and no stage. */
function completed(slot: number, outcome: number, output: Uint8Array, outputLength = output.length): Buffer {
  const segment = new Array<number>(SegmentWord.size).fill(0);
  segment[SegmentWord.outputLength] = outputLength;
  return completedWords([slot, outcome, 0, 0, 0, 0, 0, 0, 0, 0, 1, ...segment], output);
}

/** A slot that completes without a result: one that was given back, or whose module was refused. */
function completedEmpty(slot: number, outcome: number = Outcome.result): Buffer {
  return completedWords([slot, outcome, 0, 0, 0, 0, 0, 0, 0, 0, 0], new Uint8Array(0));
}

/** @param words - slot, outcome, seven further words of the slot, stages, segments, and words of each segment */
function completedWords(words: readonly number[], output: Uint8Array): Buffer {
  const frame = newFrame(FromChild.completed, words.length * 4 + 16 + output.length);
  for (const [index, word] of words.entries()) frame.writeInt32LE(word, frameHeadBytes + index * 4);
  frame.fill(0, frameHeadBytes + words.length * 4, frameHeadBytes + words.length * 4 + 16);
  frame.set(output, frameHeadBytes + words.length * 4 + 16);
  return frame;
}

/** A result of a batch of one record without key or value. */
const oneEmpty = Uint8Array.from([0x0a, 0x02, 0x0a, 0x00]);

/** A result of a batch of no records. */
const nothing = Uint8Array.from([0x0a, 0x00]);

/** A result of one failed record, whose failure has these bytes. */
function failed(...failure: readonly number[]): Uint8Array {
  return Uint8Array.from([0x0a, 0x00, 0x12, 0x01, 0x00, 0x1a, failure.length, ...failure]);
}

/** What each lie sends. */
const lies: Readonly<Record<string, (slot: number) => readonly Buffer[]>> = {
  "a frame beyond all bounds": () => [Buffer.from("ffffffff66000000", "hex")],
  "a frame that nobody knows": () => [newFrame(7_777, 0)],
  "a slot that was not sent": (slot) => [completed(slot + 1, Outcome.result, nothing)],
  "a slot that there is not": () => [completed(1_000_000, Outcome.result, nothing)],
  "an outcome that there is not": (slot) => [completed(slot, 99, nothing)],
  "a result that loses records": (slot) => [completed(slot, Outcome.result, nothing)],
  "a result that is none": (slot) => [completed(slot, Outcome.result, Buffer.from("nonsense"))],
  "a result with two batches": (slot) => [
    completed(slot, Outcome.result, Uint8Array.from([...nothing, ...oneEmpty])),
  ],
  "a result with a fanout twice": (slot) => [
    completed(slot, Outcome.result, Uint8Array.from([...oneEmpty, 0x12, 0x00, 0x12, 0x01, 0x01])),
  ],
  "a failed record's stage that is no text": (slot) => [
    completed(slot, Outcome.result, failed(0x22, 0x01, 0xff)),
  ],
  "a failed record's letter, which the server alone knows": (slot) => [
    completed(slot, Outcome.result, failed(0x3a, 0x01, 0xff)),
  ],
  "a failed record with a field that there is not": (slot) => [
    completed(slot, Outcome.result, failed(0x7a, 0x00)),
  ],
  "a result beyond its frame": (slot) => [completed(slot, Outcome.result, nothing, 2_000_000_000)],
  "a result of negative length": (slot) => [completed(slot, Outcome.result, nothing, -5)],
  "a single call that must run apart": (slot) => [completed(slot, Outcome.apart, nothing)],
  "a slot given back that nobody asked for": (slot) => [wordsFrame(FromChild.returned, slot)],
  "two reports of a slot": (slot) => [reportOf(slot), reportOf(slot)],
  "a report that is no JSON": () => [Buffer.concat([newFrame(FromChild.message, 1), Buffer.from("{")])],
  "a report of another shape": (slot) => [jsonFrame(FromChild.message, { type: "report", slot })],
  "a report of a slot that was not sent": (slot) => [reportOf(slot + 1)],
  "a slot that runs and does not exist": () => [
    wordsFrame(FromChild.control, 0, 0, 0, 0, 0, 0, 9_999, ...zeros),
  ],
  "frames without end": () =>
    Array.from({ length: 6_000 }, () => wordsFrame(FromChild.control, 0, 0, 0, 0, 0, 0, -1, ...zeros)),
};
/** What a worker says that does nothing wrong, and has much to say: a report and counters of each batch. */
const wordy = (slot: number): readonly Buffer[] => [
  reportOf(slot),
  jsonFrame(FromChild.message, { type: "counters", pipeline: 0, stage: 0, deltas: [["n", 1]] }),
  completed(slot, Outcome.result, oneEmpty),
];

/** What an honest worker says. */
const honest = (slot: number): readonly Buffer[] => [completed(slot, Outcome.result, oneEmpty)];

function reportOf(slot: number): Buffer {
  return jsonFrame(FromChild.message, { type: "report", slot, failures: [], samples: [], matters: [] });
}

const zeros = new Array<number>(9).fill(0);

/** In place of a lie: tells all that it may. */
export const wordyWorker = "wordy";

/** In place of a lie: says nothing of what it is given, and nothing else. */
export const silentWorker = "silent";

/** In place of a lie: gives back what it is asked for, and never ends it. */
export const keepingWorker = "keeping";

/** In place of a lie: refuses the first slot's module, leaves word that it runs the second slot, and ends. */
export const refusingWorker = "refusing";

let refused = false;
const refusing = (slot: number): readonly Buffer[] => {
  if (!refused) {
    refused = true;
    return [completedEmpty(slot, Outcome.uncompiled)];
  }
  writeSync(childFiles.witness, Int32Array.of(1, slot, 0, -1));
  process.exit(1);
};

/** In place of a lie: keeps its first slot until all are asked back, and then gives the others back and ends them all at once. */
export const slowWorker = "slow";

/** What a slow worker sends when it is asked for what it has not begun, of these slots. */
function* givenBack([begun, ...others]: readonly number[]): Generator<Buffer> {
  for (const slot of others) yield wordsFrame(FromChild.returned, slot);
  const ended = begun === undefined ? [] : [completed(begun, Outcome.result, oneEmpty)];
  yield Buffer.concat([...ended, ...others.map((slot) => completedEmpty(slot))]);
}

/** The names of the lies. */
export const lieNames = Object.keys(lies);

/** What others send that do not lie outright. */
const others: typeof lies = {
  [wordyWorker]: wordy,
  [silentWorker]: () => [],
  [refusingWorker]: refusing,
};

if (process.argv[1] === lyingWorker) {
  const socket = new Socket({ fd: childFiles.frames, readable: true, writable: true });
  const name = process.argv[2] ?? "";
  const lie = lies[name] ?? others[name] ?? honest;
  let kept: number[] | undefined = [slowWorker, keepingWorker].includes(name) ? [] : undefined;
  const reader = new FrameReader(
    () => Number.MAX_SAFE_INTEGER,
    (type, payload) => {
      if (type === ToChild.start) socket.write(newFrame(FromChild.ready, 0));
      if (type === ToChild.submit) {
        const slot = payload.readInt32LE(0);
        if (kept !== undefined) kept.push(slot);
        else for (const frame of lie(slot)) socket.write(frame);
      }
      if (type === ToChild.recall && kept !== undefined) {
        const [...frames] = givenBack(kept);
        for (const frame of name === slowWorker ? frames : frames.slice(0, -1)) socket.write(frame);
        kept = undefined;
      }
    },
  );
  socket.on("data", (chunk: Buffer) => reader.push(chunk));
  socket.on("close", () => process.exit(0));
  socket.on("error", () => process.exit(0));
}

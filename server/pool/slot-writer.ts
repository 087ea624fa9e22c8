/**
 * Writes a crossing into a slot of shared memory.
 *
 * @module
 */

import type { SlotMemory } from "../bridge/channel.ts";
import { Claim, ExclusionWord, SegmentWord, Slot, Transfer } from "../bridge/layout.ts";
import type { Crossing } from "./crossing.ts";

/**
 * Writes the crossing's input and words. What the worker reads becomes visible to it when the slot is submitted.
 *
 * @returns the input, when it does not fit the slot and must go by message before the slot is submitted
 */
export function writeCrossing(
  memory: SlotMemory,
  slot: number,
  crossing: Crossing,
): Uint8Array<ArrayBuffer> | undefined {
  const { words, layout } = memory;
  const base = memory.slot(slot);
  const transfer = crossing.byteLength > layout.inputBytes;
  words[base + Slot.pipeline] = crossing.pipeline.spec.id;
  words[base + Slot.inputLength] = crossing.byteLength;
  words[base + Slot.segments] = crossing.jobs.length;
  words[base + Slot.cancelled] = 0;
  words[base + Slot.claim] = Claim.open;
  words[base + Slot.transfer] = transfer ? Transfer.input : Transfer.none;
  writeExclusions(memory, slot, crossing);
  const target = transfer ? Buffer.from(new ArrayBuffer(crossing.byteLength)) : memory.bytes;
  let position = transfer ? 0 : memory.inputStart(slot);
  for (let segment = 0; segment < crossing.jobs.length; segment++) {
    const job = crossing.jobs[segment];
    if (job === undefined) break;
    words[memory.segment(slot, segment) + SegmentWord.length] = job.byteLength;
    job.bytes.copy(target, position, job.start, job.end);
    position += job.byteLength;
  }
  return transfer ? (target as Buffer<ArrayBuffer>) : undefined;
}

function writeExclusions(memory: SlotMemory, slot: number, crossing: Crossing): void {
  const { words, layout } = memory;
  if (crossing.exclusions.length > layout.maxExclusions)
    throw new Error(`${crossing.exclusions.length} exclusions, and room for ${layout.maxExclusions}`);
  words[memory.slot(slot) + Slot.exclusions] = crossing.exclusions.length;
  for (let index = 0; index < crossing.exclusions.length; index++) {
    const entry = memory.exclusion(slot, index);
    const exclusion = crossing.exclusions[index];
    if (exclusion === undefined) break;
    words[entry + ExclusionWord.stage] = exclusion.stage;
    words[entry + ExclusionWord.record] = exclusion.record;
    words[entry + ExclusionWord.code] = exclusion.code;
    words[entry + ExclusionWord.wallMs] = Math.round(exclusion.measured?.wallMs ?? -1);
    words[entry + ExclusionWord.cpuMs] = Math.round(exclusion.measured?.cpuMs ?? -1);
  }
}

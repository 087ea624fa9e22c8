/**
 * The policy `pass`: a record that a stage failed goes on as it came in.
 *
 * @module
 */

import { recordStarts } from "./isolate.ts";
import { RunApart } from "./run-context.ts";
import type { StageFailure, StageInput } from "./stage-io.ts";
import type { StageRunner } from "./stage-runner.ts";

/**
 * Puts the inputs that failed back among the outputs, at their places. What goes on keeps the bounds of one result; records
 * for which there is no room fail for the caller. Allocates: it runs only when something failed.
 *
 * @throws RunApart when merged calls have too much to pass on
 */
export function passFailedThrough(runner: StageRunner, input: StageInput): void {
  const { output } = runner;
  const inputs = recordStarts(input.bytes, input.start, input.end, input.records);
  const outputs = recordStarts(output.bytes, output.batchStart, output.batchEnd, output.records);
  const room = new Room(runner);
  const parts: Uint8Array[] = [];
  let nextFailure = 0;
  let taken = 0;
  let passed = 0;
  for (let index = 0; index < input.records; index++) {
    const failure = output.failed[nextFailure];
    if (failure?.index === index) {
      nextFailure++;
      const [start, end] = [inputs[index] as number, inputs[index + 1] as number];
      if (!room.take(end - start, failure)) continue;
      parts.push(input.bytes.subarray(start, end));
      output.fanout[index] = 1;
      passed++;
    } else {
      const count = output.fanout[index] as number;
      parts.push(output.bytes.subarray(outputs[taken], outputs[taken + count]));
      taken += count;
    }
  }
  output.assign(concatenate(parts), output.records + passed);
}

/** What the bounds of a result leave beside the outputs and what passes the stage by. */
class Room {
  readonly #runner: StageRunner;
  #bytes: number;
  #records: number;

  constructor(runner: StageRunner) {
    const { output, besideBytes, besideRecords } = runner;
    this.#runner = runner;
    this.#bytes = output.batchEnd - output.batchStart + besideBytes;
    this.#records = output.records + besideRecords;
  }

  /** @returns whether a record of so many bytes goes on; else its failure says why it does not */
  take(bytes: number, failure: StageFailure): boolean {
    const { maxResultBytes, maxResultRecords } = this.#runner.context.limits;
    const tooLarge =
      this.#bytes + bytes > maxResultBytes
        ? `${this.#bytes + bytes} bytes would go on, the limit maxResultBytes is ${maxResultBytes}`
        : this.#records >= maxResultRecords
          ? `${this.#records + 1} records would go on, the limit maxResultRecords is ${maxResultRecords}`
          : undefined;
    if (tooLarge === undefined) {
      this.#bytes += bytes;
      this.#records++;
      return true;
    }
    if (this.#runner.context.merged) throw new RunApart(tooLarge);
    failure.message = `failed with ${failure.code}, and there is no room to pass it on: ${tooLarge}`;
    failure.code = "output_too_large";
    failure.noRoom = true;
    return false;
  }
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}

/**
 * The policy `pass`: a record that a stage failed goes on as it came in.
 *
 * @module
 */

import { recordStarts } from "./isolate.ts";
import type { StageInput, StageOutput } from "./stage-io.ts";

/** Puts the inputs that failed back among the outputs, at their places. Allocates: it runs only when something failed. */
export function passFailedThrough(input: StageInput, output: StageOutput): void {
  const inputs = recordStarts(input.bytes, input.start, input.end, input.records);
  const outputs = recordStarts(output.bytes, output.batchStart, output.batchEnd, output.records);
  const parts: Uint8Array[] = [];
  let nextFailure = 0;
  let taken = 0;
  for (let index = 0; index < input.records; index++) {
    if (output.failed[nextFailure]?.index === index) {
      nextFailure++;
      parts.push(input.bytes.subarray(inputs[index], inputs[index + 1]));
      output.fanout[index] = 1;
    } else {
      const count = output.fanout[index] as number;
      parts.push(output.bytes.subarray(outputs[taken], outputs[taken + count]));
      taken += count;
    }
  }
  output.assign(concatenate(parts), output.records + output.failed.length);
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

/**
 * Follows the records of a batch through stages that drop and split them: which input each
 * record came from, and in the end how many outputs each input gave.
 *
 * @module
 */

import { roomFor } from "../record/result.ts";

/** Composes the fanouts of stages. Reused from batch to batch; allocates only to grow. */
export class Composition {
  /** Inputs of the batch. */
  inputs = 0;
  /** Records at this point. */
  records = 0;
  /** Whether every record still is the only one of its input, in order. */
  identity = true;
  /** Outputs of each input, after {@link finish} and unless `identity`. */
  fanout = new Uint32Array(1024);
  #origin = new Uint32Array(1024);
  #next = new Uint32Array(1024);

  /** A batch of so many records begins. */
  begin(inputs: number): void {
    this.inputs = inputs;
    this.records = inputs;
    this.identity = true;
  }

  /** The input that a record at this point came from. */
  originOf(record: number): number {
    return this.identity ? record : (this.#origin[record] as number);
  }

  /**
   * A stage has run.
   *
   * @param fanout - how many outputs each record gave, for as many records as there were
   * @param outputs - what that adds up to
   */
  apply(fanout: Uint32Array, outputs: number): void {
    const before = this.records;
    if (outputs === before && isAllOnes(fanout, before)) return;
    if (this.#next.length < outputs) this.#next = new Uint32Array(roomFor(outputs));
    const next = this.#next;
    let position = 0;
    for (let record = 0; record < before; record++) {
      const origin = this.originOf(record);
      for (let count = fanout[record] as number; count > 0; count--) next[position++] = origin;
    }
    this.#next = this.#origin;
    this.#origin = next;
    this.identity = false;
    this.records = outputs;
  }

  /** All stages have run: adds up `fanout`. */
  finish(): void {
    if (this.identity) return;
    if (this.fanout.length < this.inputs) this.fanout = new Uint32Array(roomFor(this.inputs));
    this.fanout.fill(0, 0, this.inputs);
    for (let record = 0; record < this.records; record++) {
      const origin = this.#origin[record] as number;
      this.fanout[origin] = (this.fanout[origin] as number) + 1;
    }
  }
}

function isAllOnes(fanout: Uint32Array, length: number): boolean {
  for (let index = 0; index < length; index++) if (fanout[index] !== 1) return false;
  return true;
}

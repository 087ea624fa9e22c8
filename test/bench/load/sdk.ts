/**
 * Many callers of the SDK, each with one single-record call open at a time: through a batcher, or each as a
 * unary call of its own.
 *
 * @module
 */

import { Leat, type OutputRecord, type RecordInput } from "@leat/sdk";
import { makeRecords, uppercased } from "../fixtures.ts";
import type { Load } from "./load.ts";

/** What load to make with the SDK. */
export interface SdkOrder {
  kind: "sdk";
  address: string;
  /** The stored pipeline to call. */
  pipeline: string;
  /** Calls open at once. */
  callers: number;
  through: "batcher" | "unary";
}

/** Starts callers that call with one record each, again and again, until stopped. */
export function startSdk(order: SdkOrder): Load {
  const leat = new Leat(order.address);
  const batcher = leat.batcher(order.pipeline);
  const [record] = makeRecords(1);
  const value = record?.value ?? new Uint8Array();
  const input: RecordInput = { key: record?.key ?? "", value };
  const expected = uppercased(value);
  let answered = 0;
  let stopping = false;

  const calls: Record<SdkOrder["through"], () => Promise<OutputRecord | undefined>> = {
    batcher: async () => {
      const outcome = await batcher.transform(input);
      return outcome.status === "ok" ? outcome.outputs[0] : undefined;
    },
    unary: async () => (await leat.transform(order.pipeline, [input])).records[0],
  };
  const call = calls[order.through];

  async function callAgainAndAgain(): Promise<void> {
    while (!stopping) {
      const output = await call();
      if (answered++ === 0 && Buffer.compare(output?.value ?? new Uint8Array(), expected) !== 0) {
        throw new Error("the record is not in upper case");
      }
    }
  }
  const done = Promise.all(Array.from({ length: order.callers }, callAgainAndAgain)).then(() => {});
  done.catch(() => {});

  return {
    units: () => answered,
    failed: done,
    async stop() {
      stopping = true;
      try {
        await done;
      } finally {
        await batcher.close();
        await leat.close();
      }
    },
  };
}

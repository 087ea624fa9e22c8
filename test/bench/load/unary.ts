/**
 * Many callers, each with one unary call open at a time.
 *
 * @module
 */

import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Target, TransformRequestSchema, TransformResponseSchema } from "@leat/proto";
import { makeBatch } from "../fixtures.ts";
import { checkResult, type Expectation } from "./expectation.ts";
import type { Load } from "./load.ts";
import { RawClient } from "./raw-client.ts";

/** What unary load to make. */
export interface UnaryOrder {
  kind: "unary";
  address: string;
  target: Target;
  /** Calls open at once. */
  callers: number;
  expect: Expectation;
}

/** Starts callers that call with one record each, again and again, until stopped. */
export function startUnary(order: UnaryOrder): Load {
  const client = new RawClient(order.address);
  const request = Buffer.from(
    toBinary(
      TransformRequestSchema,
      create(TransformRequestSchema, { target: order.target, batch: makeBatch(1) }),
    ),
  );
  const finished = Promise.withResolvers<void>();
  finished.promise.catch(() => {});
  let answered = 0;
  let open = order.callers;
  let stopping = false;

  function callAgain(): void {
    if (stopping) {
      if (--open === 0) finished.resolve();
      return;
    }
    client.callBack(request, (error, response) => {
      if (error) return finished.reject(error);
      if (answered++ === 0 && response && order.expect === "uppercase") {
        try {
          checkResponse(response);
        } catch (failure) {
          return finished.reject(failure);
        }
      }
      callAgain();
    });
  }
  for (let i = 0; i < order.callers; i++) callAgain();

  return {
    units: () => answered,
    failed: finished.promise,
    async stop() {
      stopping = true;
      try {
        await finished.promise;
      } finally {
        client[Symbol.dispose]();
      }
    },
  };
}

function checkResponse(response: Uint8Array): void {
  const { result } = fromBinary(TransformResponseSchema, response);
  if (!result) throw new Error("a response without a result");
  checkResult(result, 1);
}

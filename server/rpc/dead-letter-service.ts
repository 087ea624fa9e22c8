/**
 * DeadLetterService over the store. Both doors serve this same implementation.
 *
 * @module
 */

import { create, fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type DeadLetter,
  type DeadLetterFilter,
  DeadLetterSchema,
  type DeadLetterService,
  RecordSchema,
} from "@leat/proto";
import { leatError } from "../errors.ts";
import { parseReference } from "../registry/names.ts";
import type { DeadLetterInfo, KeptDeadLetter, LetterFilter } from "../store/dead-letter-store.ts";
import type { Engine } from "./engine.ts";
import { replay } from "./replay.ts";

const defaultPageSize = 100;
const maxPageSize = 1_000;
const maxFilterIds = 10_000;

/** DeadLetterService over the engine's store. */
export function deadLetterService(engine: Engine): ServiceImpl<typeof DeadLetterService> {
  const { deadLetters: store } = engine;
  return {
    listDeadLetters: async ({ filter, pageSize, pageToken }) => {
      if (pageSize > maxPageSize)
        throw leatError("REQUEST_INVALID", {
          field: "page_size",
          problem: `${pageSize} is above ${maxPageSize}`,
        });
      const page = { pageSize: pageSize || defaultPageSize, ...(pageToken === "" ? {} : { pageToken }) };
      const { letters, nextPageToken = "", total } = await store.list(letterFilter(filter), page);
      return { deadLetters: letters.map(describeLetter), nextPageToken, total: BigInt(total) };
    },
    getDeadLetter: async ({ id }) => {
      const letter = await store.get(id);
      if (letter === undefined) throw leatError("DEAD_LETTER_NOT_FOUND", { id });
      return { deadLetter: describeWhole(letter) };
    },
    replayDeadLetters: (request, { signal }) => {
      const filter = letterFilter(request.filter);
      if (selectsAll(filter))
        throw leatError("REQUEST_INVALID", { field: "filter", problem: "set at least one condition" });
      return replay(engine, filter, request, signal);
    },
    purgeDeadLetters: async (request) => {
      const filter = letterFilter(request.filter);
      if (selectsAll(filter) && !request.all) {
        const problem = "is empty; set a condition, or set `all` to remove all letters";
        throw leatError("REQUEST_INVALID", { field: "filter", problem });
      }
      return { removed: BigInt(await store.purge(filter)) };
    },
  };
}

function selectsAll(filter: LetterFilter): boolean {
  return Object.keys(filter).length === 0;
}

/** A filter as the store takes it: what is empty is not set. */
function letterFilter(filter: DeadLetterFilter | undefined): LetterFilter {
  if (filter === undefined) return {};
  const { ids, pipeline, stage, code, module, since, until } = filter;
  if (ids.length > maxFilterIds)
    throw leatError("REQUEST_INVALID", {
      field: "filter.ids",
      problem: `${ids.length} are more than ${maxFilterIds}`,
    });
  return {
    ...(ids.length > 0 && { ids }),
    ...(pipeline !== "" && { pipeline }),
    ...(stage !== "" && { stage }),
    ...(code !== "" && { code }),
    ...(module !== "" && moduleFilter(module)),
    ...(since !== undefined && { sinceMs: msOf(since) }),
    ...(until !== undefined && { untilMs: msOf(until) }),
  };
}

function moduleFilter(reference: string): LetterFilter {
  const parsed = parseReference(reference);
  switch (parsed.t) {
    case "digest":
      return { digest: parsed.digest };
    case "version":
      return { module: parsed.name, version: parsed.version };
    case "active":
      return { module: parsed.name };
  }
}

function msOf({ seconds, nanos }: Timestamp): number {
  return Number(seconds) * 1_000 + nanos / 1e6;
}

function describeLetter(letter: DeadLetterInfo): DeadLetter {
  const { id, timeMs, pipeline, stage, digest, code, message, attempts } = letter;
  const { traceId, streamId, index, sizeBytes } = letter;
  return create(DeadLetterSchema, {
    ...{ id, pipeline, stage, digest, code, message, attempts, traceId, streamId, index, sizeBytes },
    time: timestampFromMs(timeMs),
    module: `${letter.module}@${letter.version}`,
    sequence: BigInt(letter.sequence),
  });
}

function describeWhole(letter: KeptDeadLetter): DeadLetter {
  const message = describeLetter(letter);
  message.record = fromBinary(RecordSchema, letter.record);
  if (letter.stageInput !== undefined) message.stageInput = fromBinary(RecordSchema, letter.stageInput);
  return message;
}

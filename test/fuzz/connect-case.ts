/**
 * Attacks on the HTTP door: mutated JSON, protobuf and gRPC-Web of the unary call.
 *
 * @module
 */

import { create, fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import {
  ErrorInfoSchema,
  RecordBatchSchema,
  RpcStatusSchema,
  type TransformRequest,
  TransformRequestSchema,
  type TransformResponse,
  TransformResponseSchema,
} from "@leat/proto";
import { startTestServer } from "../kit/test-server.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { mutateJson } from "./json-mutation.ts";
import { mutateMessage } from "./message-mutation.ts";
import { checkUppercase } from "./module-cases.ts";
import { Random } from "./random.ts";
import { checkFailure, checkSame, randomRequest, sameServer } from "./request-case.ts";

/** No answer within this time is a hang. */
const answerWithinMs = 20_000;
/** One in so many requests goes unbroken, and must succeed. */
const unbroken = 0.05;

/** What the server made of a call. */
type Answer =
  | { readonly t: "response"; readonly response: TransformResponse }
  | { readonly t: "failed"; readonly status: string; readonly message: string; readonly reason: string };

/** One of the door's languages. */
interface Language {
  readonly contentType: string;
  encode(request: TransformRequest): Uint8Array;
  mutate(random: Random, body: Uint8Array): Uint8Array;
  /** @throws Error where it is none */
  decode(body: Uint8Array): TransformRequest;
  answer(response: Response): Promise<Answer>;
}

const json: Language = {
  contentType: "application/json",
  encode: (request) => Buffer.from(toJsonString(TransformRequestSchema, request)),
  mutate: (random, body) => Buffer.from(mutateJson(random, Buffer.from(body).toString())),
  decode: (body) =>
    fromJsonString(TransformRequestSchema, Buffer.from(body).toString(), { ignoreUnknownFields: true }),
  answer: async (response) => {
    const text = await response.text();
    return response.ok
      ? { t: "response", response: fromJsonString(TransformResponseSchema, text) }
      : connectFailure(text);
  },
};

const protobuf: Language = {
  contentType: "application/proto",
  encode: (request) => toBinary(TransformRequestSchema, request),
  mutate: mutateMessage,
  decode: (body) => fromBinary(TransformRequestSchema, body),
  answer: async (response) =>
    response.ok
      ? { t: "response", response: fromBinary(TransformResponseSchema, await response.bytes()) }
      : connectFailure(await response.text()),
};

/** Bytes before a frame's content: flags, and its length. */
const frameHeadBytes = 5;
const compressedFlag = 0x01;
/** The flag of the frame that holds the trailers. */
const trailersFlag = 0x80;

const grpcWeb: Language = {
  contentType: "application/grpc-web+proto",
  encode: (request) => frameOf(toBinary(TransformRequestSchema, request)),
  mutate: (random, body) => {
    if (random.chance(0.7)) return frameOf(mutateMessage(random, body.subarray(frameHeadBytes)));
    const changed = Uint8Array.from(body);
    const at = random.below(frameHeadBytes);
    changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
    return random.chance(0.5) ? changed : changed.slice(0, random.below(changed.length + 1));
  },
  decode: (body) => {
    const [frame, ...more] = framesOf(body);
    // Bits that mean nothing may be set.
    if (frame === undefined || more.length > 0 || (frame.flags & (trailersFlag | compressedFlag)) !== 0)
      throw new Error("not one message");
    return fromBinary(TransformRequestSchema, frame.content);
  },
  answer: async (response) => grpcAnswer(response.headers, framesOf(await response.bytes())),
};

function frameOf(message: Uint8Array): Uint8Array {
  const head = Buffer.alloc(frameHeadBytes);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

interface Frame {
  readonly flags: number;
  readonly content: Uint8Array;
}

/** @throws RangeError where a frame is not whole */
function framesOf(body: Uint8Array): Frame[] {
  const bytes = Buffer.from(body);
  const frames: Frame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const start = at + frameHeadBytes;
    const end = start + bytes.readUInt32BE(at + 1);
    if (end > bytes.length) throw new RangeError("a frame that is not whole");
    frames.push({ flags: bytes.readUInt8(at), content: Uint8Array.from(bytes.subarray(start, end)) });
    at = end;
  }
  return frames;
}

function grpcAnswer(headers: Headers, frames: readonly Frame[]): Answer {
  const last = frames.find(({ flags }) => flags === trailersFlag);
  const lines = Buffer.from(last?.content ?? [])
    .toString()
    .split("\r\n")
    .map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
  const trailers = new Map([...headers, ...lines]);
  const code = Number(trailers.get("grpc-status") ?? Number.NaN);
  if (Number.isNaN(code)) throw new Error("an answer without a status");
  if (code === 0) {
    const message = frames.find(({ flags }) => flags === 0);
    if (message === undefined) throw new Error("success without a message");
    return { t: "response", response: fromBinary(TransformResponseSchema, message.content) };
  }
  const packed = Buffer.from(trailers.get("grpc-status-details-bin") ?? "", "base64");
  const infos = fromBinary(RpcStatusSchema, packed).details.map((each) => anyUnpack(each, ErrorInfoSchema));
  return {
    t: "failed",
    status: status[code] ?? String(code),
    message: decodeURIComponent(trailers.get("grpc-message") ?? ""),
    reason: infos.find((info) => info !== undefined)?.reason ?? "",
  };
}

interface ConnectError {
  readonly code?: string;
  readonly message?: string;
  readonly details?: readonly { readonly type: string; readonly value: string }[];
}

function connectFailure(text: string): Answer {
  const { code = "", message = "", details = [] } = JSON.parse(text) as ConnectError;
  const info = details.find(({ type }) => type === "google.rpc.ErrorInfo");
  return {
    t: "failed",
    status: code === "canceled" ? "CANCELLED" : code.toUpperCase(),
    message,
    reason: info === undefined ? "" : fromBinary(ErrorInfoSchema, Buffer.from(info.value, "base64")).reason,
  };
}

/** What the door refuses by itself, before a call has begun: what it cannot read, or is too large. */
const doorsOwn = ["INVALID_ARGUMENT", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"];

/** Connect says this of a gRPC-Web request that it cannot read: other than in its other languages, with INTERNAL. */
const unreadable = /^(?:parse binary|protocol error|received compressed envelope)\b/;

function isDoorsOwn({ status, message, reason }: Answer & { readonly t: "failed" }): boolean {
  return reason === "" && (doorsOwn.includes(status) || (status === "INTERNAL" && unreadable.test(message)));
}

/** Mutated requests in each of the languages. The pipeline `same` gives every batch as it came, so that success can be checked. */
export async function connectCase(seed: number): Promise<FuzzCase> {
  const kit = await startTestServer({ ...sameServer, http: true });
  return {
    lanes: 8,
    attempt: (index) => callOnce(kit.url, new Random(seed, index)),
    checkHealth: () => checkUppercase(kit),
    [Symbol.asyncDispose]: () => kit[Symbol.asyncDispose](),
  };
}

async function callOnce(url: string, random: Random): Promise<string> {
  const language = random.pick([json, protobuf, grpcWeb]);
  const request = create(TransformRequestSchema, randomRequest(random));
  const whole = random.chance(unbroken);
  const valid = language.encode(request);
  const body = whole ? valid : language.mutate(random, valid);
  const response = await fetch(`${url}/leat.v1.TransformService/Transform`, {
    method: "POST",
    headers: { "content-type": language.contentType },
    body: Uint8Array.from(body),
    signal: AbortSignal.timeout(answerWithinMs),
  });
  const answer = await language.answer(response);
  const told = `${language.contentType} ${Buffer.from(body).toString("latin1").slice(0, 2_000)}`;
  try {
    if (answer.t === "response") return checkSuccess(language, body, answer.response);
    if (whole && request.target?.target.case === "pipeline")
      throw new Error(`a valid request was refused: ${answer.message}`);
    if (isDoorsOwn(answer)) return `${answer.status} of the door`;
    return checkFailure({ ...answer, domain: "leat", metadata: {}, retryAfterMs: undefined, fields: [] });
  } catch (cause) {
    throw new Error(`${cause instanceof Error ? cause.message : cause}: ${told}`, { cause });
  }
}

function checkSuccess(language: Language, body: Uint8Array, { result }: TransformResponse): string {
  let decoded: TransformRequest;
  try {
    decoded = language.decode(body);
  } catch (cause) {
    throw new Error("a request that is no message had success", { cause });
  }
  if (result === undefined) throw new Error("a response without a result");
  checkSame(decoded.batch ?? create(RecordBatchSchema), result);
  return "result";
}

// Guest ABI 1 (docs/guest-abi.md): what the host calls. The build makes an entry file that joins this to the author's functions, so that
// they are called directly and can be inlined.

import { checkGlobals, isKept, keep, protectBatch, releaseBatch, releaseRecord, take } from "./arena";
import { Bytes } from "./bytes";
import { Config } from "./config";
import { flushCounters } from "./counter";
import { failures } from "./failures";
import { fanouts } from "./fanouts";
import { beginRecord } from "./host";
import { Json } from "./json";
import { out } from "./out";
import { record } from "./record";
import { HEAD, sink } from "./sink";
import { BATCH_RECORD, clearFlaw, flawed, lengthBytes, noteFlaw, readSpan, spanEnd, spanStart, writeLength } from "./wire";

// Tags of TransformResult.
const RESULT_BATCH: u8 = 0x0a;
const RESULT_FANOUT: u8 = 0x12;

/** The part of the input that was not walked yet. */
let position: usize = 0;
let inputEnd: usize = 0;

/** Gives the host `size` bytes to write input to, and with that ends the life of the last batch. */
export function leat_alloc(size: usize): usize {
  releaseBatch();
  return take(size);
}

/** Begins the batch in `[ptr, ptr + len)`. */
// @ts-ignore: decorator
@inline
export function beginBatch(ptr: usize, len: usize): void {
  position = ptr;
  inputEnd = ptr + len;
  clearFlaw();
  // Outputs are seldom much larger than inputs, and where they are the sink doubles.
  sink.begin(len + (len >> 3) + 256);
  failures.base = 0;
  fanouts.base = 0;
  out.index = 0;
  out.emitted = 0;
  out.failed = false;
}

/** Moves `record` to the next record of the batch; says whether there is one. */
// @ts-ignore: decorator
@inline
export function nextRecord(): bool {
  while (position < inputEnd) {
    // The host lets nothing else stand between records.
    if (load<u8>(position) != BATCH_RECORD) noteFlaw(inputEnd);
    const span = readSpan(position + 1, inputEnd);
    position = spanEnd(span);
    if (flawed) break;
    beginRecord(out.index);
    if (record.parse(spanStart(span), position)) return true;
    clearFlaw();
    out.fail("malformed_record", "the record is no valid leat.v1.Record");
    endRecord();
  }
  assert(!flawed, "the batch is no valid leat.v1.RecordBatch");
  return false;
}

/** Ends the work on `record`. */
// @ts-ignore: decorator
@inline
export function endRecord(): void {
  out.endRecord();
  releaseRecord();
}

/** Puts the result together and returns where it is: address << 32 | length. */
export function endBatch(): u64 {
  flushCounters();
  checkGlobals();
  const records = sink.pos - sink.first;
  if (fanouts.base != 0) {
    const length = fanouts.pos - fanouts.base;
    sink.ensure(HEAD + length);
    store<u8>(sink.pos, RESULT_FANOUT);
    sink.pos = writeLength(sink.pos + 1, length);
    append(fanouts.base, length);
  }
  if (failures.base != 0) append(failures.base, failures.pos - failures.base);
  const start = sink.first - lengthBytes(records) - 1;
  store<u8>(start, RESULT_BATCH);
  writeLength(start + 1, records);
  return (<u64>start << 32) | <u64>(sink.pos - start);
}

function append(from: usize, length: usize): void {
  sink.ensure(length);
  memory.copy(sink.pos, from, length);
  sink.pos += length;
}

/** Reads the configuration, which is UTF-8 JSON; nothing stands for `{}`. */
export function beginInit(ptr: usize, len: usize): Config {
  assert(!isKept(), "leat_init was called twice");
  const text = len == 0 ? Bytes.of("{}") : Bytes.at(ptr, <i32>len);
  let json = Json.parse(text);
  let problem = "";
  if (!json) problem = "the configuration is no JSON: " + Json.problem + " at byte " + Json.problemAt.toString();
  else if (!json.isObject) problem = "the configuration must be an object, but is " + json.kindName();
  if (problem != "") json = Json.parse(Bytes.of("{}"));
  const config = new Config(json as Json, "");
  if (problem != "") config.refuse(problem);
  return config;
}

/** Ends the start-up: 0, or where the reason for refusing the configuration is, as address << 32 | length. */
export function endInit(config: Config): u64 {
  const refusal = config.verdict();
  if (refusal != "") {
    const text = Bytes.of(refusal);
    return (<u64>text.ptr << 32) | <u64>text.length;
  }
  keep();
  return 0;
}

/** For a host that runs a batch without having called `leat_init`: starts up without a configuration. */
export function requireInit(refusal: u64): void {
  if (refusal != 0) assert(false, Bytes.at(<usize>(refusal >> 32), <i32>refusal).toString());
}

export { isKept };

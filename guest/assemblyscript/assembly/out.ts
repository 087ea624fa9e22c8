import { Bytes } from "./bytes";
import { RecordBuilder, builder } from "./builder";
import { addFailure, failures } from "./failures";
import { fanouts, noteFanout } from "./fanouts";
import { Json } from "./json";
import { Record } from "./record";
import { sink } from "./sink";
import { copyLoose } from "./vector";
import { RECORD_VALUE, lengthBytes, writeLength } from "./wire";
import { Writer, writer } from "./writer";

/** A tag and two lengths at their longest. */
const HEADROOM: usize = 16;

/**
 * Where `transform` puts what becomes of its record. Emitting nothing drops the record, one output maps it, several split it, and
 * `fail` rejects it. Every output is completed by the next call or by the return from `transform`.
 */
@unmanaged
export class Out {
  /** How many outputs the current record has given. */
  emitted: i32;
  /** Whether the current record was failed. */
  failed: bool;
  /** The position of the current record in its batch. */
  index: i32;

  /** Emits the record as it came. Its bytes are copied, never decoded. */
  pass(record: Record): void {
    this.settle();
    const length = record.end - record.start;
    sink.ensure(length + HEADROOM);
    const at = sink.head(length);
    copyLoose(at, record.start, length);
    sink.pos = at + length;
  }

  /**
   * Emits the record with another value of `length` bytes, and hands out the place for them: write all of it before the next call
   * here. Key, headers and time stay.
   */
  // @ts-ignore: decorator
  @inline
  map(record: Record, length: i32): Bytes {
    assert(length >= 0, "Out.map: negative length");
    this.settle();
    if (record.repeated) record.unrepeat();
    const size = <usize>length;
    const before = record.valueField - record.start;
    const after = record.end - record.valueEnd;
    const total = before + 1 + lengthBytes(size) + size + after;
    sink.ensure(total + HEADROOM);
    let at = sink.head(total);
    copyLoose(at, record.start, before);
    at += before;
    store<u8>(at, RECORD_VALUE);
    at = writeLength(at + 1, size);
    place.ptr = at;
    place.length = length;
    at += size;
    copyLoose(at, record.valueEnd, after);
    sink.pos = at + after;
    return place;
  }

  /** Emits the record with another value. Key, headers and time stay. */
  value(record: Record, value: Bytes): void {
    const to = this.map(record, value.length);
    memory.copy(to.ptr, value.ptr, <usize>value.length);
  }

  /** Emits the record with `text`, as UTF-8, for its value. Key, headers and time stay. */
  text(record: Record, text: string): void {
    this.value(record, Bytes.of(text));
  }

  /** Emits the record with a value that is written piece by piece. Key, headers and time stay. */
  write(record: Record): Writer {
    this.settle();
    if (record.repeated) record.unrepeat();
    const before = record.valueField - record.start;
    sink.openBody(record.end - record.start);
    writer.range(record.start, record.valueField);
    sink.openValue(record.valueLength, record.valueEnd, record.end - record.valueEnd);
    return writer;
  }

  /** Emits the record as a tombstone: without a value. Key, headers and time stay. */
  tombstone(record: Record): void {
    this.settle();
    if (record.repeated) record.unrepeat();
    const before = record.valueField - record.start;
    const after = record.end - record.valueEnd;
    sink.ensure(before + after + HEADROOM);
    let at = sink.head(before + after);
    copyLoose(at, record.start, before);
    at += before;
    copyLoose(at, record.valueEnd, after);
    sink.pos = at + after;
  }

  /** Emits a record that is composed field by field. */
  begin(): RecordBuilder {
    this.settle();
    sink.openBody(0x80);
    return builder;
  }

  /** Drops the record, taking back what was emitted for it. Returning without a call of `Out` drops it as well. */
  drop(): void {
    this.rewind();
  }

  /**
   * Fails the record, taking back what was emitted for it. A second failure of the same record is ignored.
   *
   * @param code a stable name in lower snake case, for programs
   * @param message what is wrong, for people
   * @param retryable whether trying again later may succeed
   */
  fail(code: string, message: string, retryable: bool = false): void {
    if (this.failed) return;
    this.rewind();
    this.failed = true;
    addFailure(this.index, code, message, retryable);
  }

  /** Fails the record with the code `invalid_json`, the reason and the byte at which `Json.parse` stopped. */
  failJson(): void {
    this.fail("invalid_json", Json.problem + " at byte " + Json.problemAt.toString());
  }

  /** Completes the output that is open and counts the next one. */
  // @ts-ignore: decorator
  @inline
  private settle(): void {
    if (sink.body != 0) sink.close();
    this.emitted++;
  }

  private rewind(): void {
    sink.body = 0;
    sink.value = 0;
    sink.pos = sink.base + sink.mark;
    this.emitted = 0;
  }

  /** Ends the work on a record. Called by the kit. */
  // @ts-ignore: decorator
  @inline
  endRecord(): void {
    if (sink.body != 0) sink.close();
    if (this.failed) {
      // What came after the failure is void, too.
      this.rewind();
      this.failed = false;
    }
    if (this.emitted != 1 || fanouts.base != 0) noteFanout(this.index, this.emitted);
    sink.mark = sink.pos - sink.base;
    this.emitted = 0;
    this.index++;
  }
}

/** The place that `map` hands out. */
const place = changetype<Bytes>(memory.data(8, 8));

/** The one output. */
export const out = changetype<Out>(memory.data(offsetof<Out>(), 8));

import { Bytes } from "./bytes";
import { take } from "./arena";
import {
  HEADER_KEY,
  HEADER_VALUE,
  RECORD_HEADER,
  RECORD_KEY,
  RECORD_TIMESTAMP,
  RECORD_VALUE,
  cursor,
  flawed,
  noteFlaw,
  readSpan,
  readVarint,
  skipField,
  spanEnd,
  spanLength,
  spanStart,
  writeVarint,
} from "./wire";

/**
 * Goes through the headers of a record, in order:
 *
 *     const headers = record.headers();
 *     while (headers.next()) use(headers.name, headers.value);
 */
@unmanaged
export class Headers {
  namePtr: usize;
  nameLength: i32;
  valuePtr: usize;
  valueLength: i32;
  upcoming: usize;
  end: usize;

  /** The current header's name, UTF-8. Moves along with `next`. */
  // @ts-ignore: decorator
  @inline
  get name(): Bytes {
    return changetype<Bytes>(changetype<usize>(this) + offsetof<Headers>("namePtr"));
  }

  /** The current header's value; empty when it has none. Moves along with `next`. */
  // @ts-ignore: decorator
  @inline
  get value(): Bytes {
    return changetype<Bytes>(changetype<usize>(this) + offsetof<Headers>("valuePtr"));
  }

  /** Moves to the next header; says whether there is one. */
  next(): bool {
    const end = this.end;
    let at = this.upcoming;
    while (at < end && load<u8>(at) != RECORD_HEADER) at = skipField(at, end);
    if (at >= end) return false;
    const field = readSpan(at + 1, end);
    this.upcoming = spanEnd(field);
    this.read(spanStart(field), spanEnd(field));
    return true;
  }

  private read(from: usize, end: usize): void {
    this.namePtr = from;
    this.nameLength = 0;
    this.valuePtr = from;
    this.valueLength = 0;
    let at = from;
    while (at < end) {
      const tag = readVarint(at, end);
      if (tag != HEADER_KEY && tag != HEADER_VALUE) {
        at = skipField(at, end);
        continue;
      }
      const part = readSpan(cursor, end);
      const view = tag == HEADER_KEY ? this.name : this.value;
      view.ptr = spanStart(part);
      view.length = <i32>spanLength(part);
      at = spanEnd(part);
    }
  }
}

/**
 * The record that `transform` is called with: a view of the input batch, in which nothing is copied or decoded until it is asked for.
 * There is one of these and it moves from record to record: keep neither it nor what it hands out.
 */
@unmanaged
export class Record {
  /** The encoded record. */
  start: usize;
  end: usize;
  /** Views that are moved along with the record. Unset is an address of 0. */
  keyPtr: usize;
  keyLength: i32;
  valuePtr: usize;
  valueLength: i32;
  /** Where the value's field begins and ends; both are `end` when there is no value. */
  valueField: usize;
  valueEnd: usize;
  /** Where the first header's field begins, or 0. */
  firstHeader: usize;
  /** Whether key or value occur more than once, which is legal: the last one counts. */
  repeated: bool;
  /** Whether a known field has a tag that is longer than it must be: legal, but not what the quick paths look for. */
  unusual: bool;
  /** The position of the record in its batch, from 0. */
  index: i32;
  /** Where the time's varint begins, or 0. It is decoded when asked for. */
  timePtr: usize;

  /** Whether the record has a value. One without is a tombstone, which is not the same as an empty value. */
  // @ts-ignore: decorator
  @inline
  get hasValue(): bool {
    return this.valuePtr != 0;
  }

  /** The payload. Empty when there is none. */
  // @ts-ignore: decorator
  @inline
  get value(): Bytes {
    return changetype<Bytes>(changetype<usize>(this) + offsetof<Record>("valuePtr"));
  }

  /** Whether the record has a key. */
  // @ts-ignore: decorator
  @inline
  get hasKey(): bool {
    return this.keyPtr != 0;
  }

  /** The key. Empty when there is none. */
  // @ts-ignore: decorator
  @inline
  get key(): Bytes {
    return changetype<Bytes>(changetype<usize>(this) + offsetof<Record>("keyPtr"));
  }

  /** The event time in milliseconds since the Unix epoch; 0 when it is not known. */
  get timestampMs(): i64 {
    return this.timePtr == 0 ? 0 : <i64>readVarint(this.timePtr, this.end);
  }

  /** The headers, to go through. */
  headers(): Headers {
    const headers = changetype<Headers>(take(offsetof<Headers>()));
    headers.upcoming = this.firstHeader == 0 ? this.end : this.firstHeader;
    headers.end = this.end;
    return headers;
  }

  /** The value of the first header of that name, or null. */
  header(name: string): Bytes | null {
    const headers = this.headers();
    while (headers.next()) {
      if (headers.name.equalsText(name)) return headers.value;
    }
    return null;
  }

  /** Moves the view to the encoded record in `[start, end)`; says whether that is well-formed. Called by the kit. */
  // @ts-ignore: decorator
  @inline
  parse(start: usize, end: usize): bool {
    if (!this.walk(start, end)) return false;
    return !this.unusual || this.canonicalise();
  }

  // @ts-ignore: decorator
  @inline
  private walk(start: usize, end: usize): bool {
    this.start = start;
    this.end = end;
    this.keyPtr = 0;
    this.keyLength = 0;
    this.valuePtr = 0;
    this.valueLength = 0;
    this.valueField = end;
    this.valueEnd = end;
    this.firstHeader = 0;
    this.repeated = false;
    this.unusual = false;
    this.timePtr = 0;
    let at = start;
    while (at < end) {
      const tag = load<u8>(at);
      if (tag == RECORD_VALUE) {
        if (this.valuePtr != 0) this.repeated = true;
        this.valueField = at;
        const span = readSpan(at + 1, end);
        this.valuePtr = spanStart(span);
        this.valueLength = <i32>spanLength(span);
        at = spanEnd(span);
        this.valueEnd = at;
      } else if (tag == RECORD_HEADER) {
        if (this.firstHeader == 0) this.firstHeader = at;
        at = spanEnd(readSpan(at + 1, end));
      } else if (tag == RECORD_KEY) {
        if (this.keyPtr != 0) this.repeated = true;
        const span = readSpan(at + 1, end);
        this.keyPtr = spanStart(span);
        this.keyLength = <i32>spanLength(span);
        at = spanEnd(span);
      } else if (tag == RECORD_TIMESTAMP) {
        this.timePtr = ++at;
        while (at < end && load<u8>(at) >= 0x80) at++;
        at++;
      } else {
        at = this.passOther(at, end);
      }
    }
    return at == end && !flawed;
  }

  private passOther(at: usize, end: usize): usize {
    const tag = readVarint(at, end);
    const field = tag >> 3;
    if (tag == RECORD_KEY || tag == RECORD_VALUE || tag == RECORD_HEADER || tag == RECORD_TIMESTAMP) {
      this.unusual = true;
    } else if (field <= 4 || field > 0x1fffffff) {
      noteFlaw(end); // a known field of another type, or a number that there cannot be
    }
    return skipField(at, end);
  }

  /** Moves the view to a copy in which every tag is as short as can be. */
  private canonicalise(): bool {
    const copy = take(this.end - this.start);
    let to = copy;
    let at = this.start;
    while (at < this.end) {
      const next = skipField(at, this.end);
      to = writeVarint(to, readVarint(at, this.end));
      memory.copy(to, cursor, next - cursor);
      to += next - cursor;
      at = next;
    }
    return this.walk(copy, to);
  }

  /** Moves the view to a copy in which key and value occur once. Called by the kit. */
  unrepeat(): void {
    const copy = take(this.end - this.start);
    let to = copy;
    let at = this.start;
    while (at < this.end) {
      const next = skipField(at, this.end);
      if (!isReplaced(at, this)) {
        memory.copy(to, at, next - at);
        to += next - at;
      }
      at = next;
    }
    this.walk(copy, to);
  }
}

/** The one view. */
export const record = changetype<Record>(memory.data(offsetof<Record>(), 16));

/** Whether the field at `at` is a key or value that a later one of its kind replaces. */
function isReplaced(at: usize, record: Record): bool {
  const tag = load<u8>(at);
  if (tag == RECORD_VALUE) return at != record.valueField;
  if (tag != RECORD_KEY) return false;
  return spanStart(readSpan(at + 1, record.end)) != record.keyPtr;
}

import { Bytes } from "./bytes";
import { Record } from "./record";
import { HEAD, sink } from "./sink";
import { HEADER_KEY, HEADER_VALUE, RECORD_HEADER, RECORD_KEY, RECORD_TIMESTAMP, RECORD_VALUE, lengthBytes, skipField, writeLength, writeVarint } from "./wire";
import { Writer, writer } from "./writer";

/** A tag and a varint of 64 bits, at its longest. */
const TIMESTAMP_BYTES: usize = 11;

/**
 * Composes a record field by field. There is one of these, handed out by `out.begin()`. Give each of key, value and time at most once.
 */
@unmanaged
export class RecordBuilder {
  /** Sets the key. */
  key(key: Bytes): RecordBuilder {
    this.field(RECORD_KEY, key);
    return this;
  }

  /** Sets the value. */
  value(value: Bytes): RecordBuilder {
    this.field(RECORD_VALUE, value);
    return this;
  }

  /** Sets the value by writing it piece by piece. */
  write(): Writer {
    this.settle();
    sink.openValue(0x80, 0, 0);
    return writer;
  }

  /** Adds a header. */
  header(name: string, value: Bytes): RecordBuilder {
    return this.headerBytes(Bytes.of(name), value);
  }

  /** Adds a header whose name is UTF-8 bytes. Traps when they are not. */
  headerBytes(name: Bytes, value: Bytes): RecordBuilder {
    assert(name.isUtf8(), "a header's name must be UTF-8");
    const nameLength = <usize>name.length;
    const valueLength = <usize>value.length;
    const body: usize = lengthBytes(nameLength) + nameLength + lengthBytes(valueLength) + valueLength + 2;
    this.settle();
    sink.ensure(HEAD + body);
    store<u8>(sink.pos, RECORD_HEADER);
    sink.pos = writeLength(sink.pos + 1, body);
    this.field(HEADER_KEY, name);
    this.field(HEADER_VALUE, value);
    return this;
  }

  /** Sets the event time in milliseconds since the Unix epoch. */
  timestamp(ms: i64): RecordBuilder {
    this.settle();
    sink.ensure(TIMESTAMP_BYTES);
    store<u8>(sink.pos, RECORD_TIMESTAMP);
    sink.pos = writeVarint(sink.pos + 1, <u64>ms);
    return this;
  }

  /** Takes over the key of `record`, if it has one. */
  keyOf(record: Record): RecordBuilder {
    return record.hasKey ? this.key(record.key) : this;
  }

  /** Takes over all headers of `record`. */
  headersOf(record: Record): RecordBuilder {
    this.settle();
    let at = record.firstHeader == 0 ? record.end : record.firstHeader;
    while (at < record.end) {
      const next = skipField(at, record.end);
      if (load<u8>(at) == RECORD_HEADER) writer.range(at, next);
      at = next;
    }
    return this;
  }

  /** Takes over the event time of `record`. */
  timestampOf(record: Record): RecordBuilder {
    return record.timePtr == 0 ? this : this.timestamp(record.timestampMs);
  }

  private field(tag: u8, bytes: Bytes): void {
    this.settle();
    const length = <usize>bytes.length;
    sink.ensure(HEAD + length);
    store<u8>(sink.pos, tag);
    const at = writeLength(sink.pos + 1, length);
    memory.copy(at, bytes.ptr, length);
    sink.pos = at + length;
  }

  private settle(): void {
    if (sink.value != 0) sink.closeValue();
  }
}

/** The one builder. It has no state of its own. */
export const builder = changetype<RecordBuilder>(memory.data(8, 8));
